//! What the template promises, and no emulator checks.

use serde_yaml_ng::Value;
use squall_fleet::sizing::Function;

use super::TEMPLATE;

fn template() -> Value {
    serde_yaml_ng::from_str(TEMPLATE).unwrap()
}

/// The value at a path of keys, the tags of CloudFormation passed over.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    let found = path.split('/').try_fold(value, |value, key| untagged(value).get(key));
    untagged(found.unwrap_or_else(|| panic!("`{path}` in the template")))
}

fn untagged(value: &Value) -> &Value {
    match value {
        Value::Tagged(tagged) => &tagged.value,
        other => other,
    }
}

fn texts(value: &Value) -> Vec<String> {
    match untagged(value) {
        Value::Sequence(values) => values.iter().flat_map(texts).collect(),
        other => vec![other.as_str().unwrap().to_owned()],
    }
}

/// Name, actions and resources of each statement of the function's role.
fn statements() -> Vec<(String, Vec<String>, Vec<String>)> {
    let template = template();
    let policies = at(&template, "Resources/Role/Properties/Policies").as_sequence().unwrap();
    assert_eq!(policies.len(), 1);
    let statements = at(&policies[0], "PolicyDocument/Statement").as_sequence().unwrap();
    let statement = |statement| {
        assert_eq!(at(statement, "Effect"), "Allow");
        let text = at(statement, "Sid").as_str().unwrap().to_owned();
        (text, texts(at(statement, "Action")), texts(at(statement, "Resource")))
    };
    statements.iter().map(statement).collect()
}

/// Whether a pattern with `*` covers a text.
fn covers(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| covers(after, &rest[at..]))
        }),
    }
}

#[test]
fn a_generator_cannot_write_the_orchestrators_words() {
    let write: Vec<String> = statements()
        .into_iter()
        .filter(|(_, actions, _)| actions.iter().any(|action| covers(action, "s3:PutObject")))
        .flat_map(|(_, _, resources)| resources)
        .collect();
    let may_write =
        |key: &str| write.iter().any(|pattern| covers(pattern, &format!("${{Bucket.Arn}}/{key}")));
    for key in
        ["runs/r/manifest", "runs/r/control", "runs/r/assign/000001", "current", "plans/p", "code/c.zip"]
    {
        assert!(!may_write(key), "{key}");
    }
    for key in ["runs/r/ready/n", "runs/r/snapshots/00000001/n-000001", "runs/r/final/n"] {
        assert!(may_write(key), "{key}");
    }
}

#[test]
fn the_functions_role_holds_what_it_needs_and_no_more() {
    let actions: Vec<(String, Vec<String>)> =
        statements().into_iter().map(|(name, actions, _)| (name, actions)).collect();
    let expected = [
        ("ReadRuns", vec!["s3:GetObject"]),
        ("WriteReady", vec!["s3:PutObject"]),
        ("WriteSnapshots", vec!["s3:PutObject"]),
        ("WriteFinal", vec!["s3:PutObject"]),
        // The emulator hands out secrets without asking.
        ("ReadParameters", vec!["ssm:GetParameter"]),
        ("ReadSecrets", vec!["secretsmanager:GetSecretValue"]),
        ("GiveBackSeats", vec!["sqs:ChangeMessageVisibility"]),
        // The mapping polls with the function's role; the emulator polls without asking.
        ("ReceiveSeats", vec!["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]),
        // Lambda writes what a function prints with the function's role; the emulator writes without asking.
        ("WriteLogs", vec!["logs:CreateLogStream", "logs:PutLogEvents"]),
    ];
    let expected = expected
        .map(|(name, actions)| (name.to_owned(), actions.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    assert_eq!(actions, expected);
    for (name, _, resources) in statements() {
        let own = match &*name {
            "ReadParameters" => &["${AWS::AccountId}:parameter/squall/*"][..],
            "ReadSecrets" => &["${AWS::AccountId}:secret:squall/*"],
            _ => &["Bucket.Arn", "Queue.Arn", "Logs.Arn"],
        };
        assert!(resources.iter().all(|resource| own.iter().any(|arn| resource.contains(arn))), "{name}");
    }
}

#[test]
fn a_seat_is_hidden_at_least_as_long_as_a_generator_can_live() {
    let template = template();
    assert_eq!(at(&template, "Resources/Queue/Properties/VisibilityTimeout"), "TimeoutS");
    assert_eq!(at(&template, "Resources/Function/Properties/Timeout"), "TimeoutS");
    assert_eq!(at(&template, "Parameters/TimeoutS/MaxValue"), 900);
}

#[test]
fn a_seat_is_tried_a_few_times_and_then_kept_where_it_can_be_looked_at() {
    let template = template();
    let redrive = at(&template, "Resources/Queue/Properties/RedrivePolicy");
    assert_eq!(at(redrive, "maxReceiveCount"), 5);
    assert_eq!(at(redrive, "deadLetterTargetArn"), "DeadLetterQueue.Arn");
    let retention = |queue: &str| {
        at(&template, &format!("Resources/{queue}/Properties/MessageRetentionPeriod")).as_u64().unwrap()
    };
    let longest_life = at(&template, "Parameters/TimeoutS/MaxValue").as_u64().unwrap();
    assert!(retention("Queue") > 5 * longest_life, "or it would be forgotten before");
    // A message keeps its age when it is moved.
    assert!(retention("DeadLetterQueue") > retention("Queue"));
    for queue in ["Queue", "DeadLetterQueue"] {
        assert_eq!(*at(&template, &format!("Resources/{queue}/Properties/SqsManagedSseEnabled")), true);
    }
}

#[test]
fn the_mapping_is_closed_and_hands_over_one_seat_at_a_time() {
    let template = template();
    let mapping = at(&template, "Resources/Mapping/Properties");
    assert_eq!(*at(mapping, "Enabled"), false);
    assert_eq!(at(mapping, "BatchSize"), 1);
    assert_eq!(texts(at(mapping, "FunctionResponseTypes")), ["ReportBatchItemFailures"]);
}

#[test]
fn no_concurrency_is_set_but_by_the_command() {
    for literal in
        ["MaximumConcurrency", "ReservedConcurrentExecutions", "ProvisionedPollerConfig", "ScalingConfig"]
    {
        assert!(!TEMPLATE.contains(literal), "{literal}");
    }
}

#[test]
fn the_bucket_is_private_encrypted_and_forgets() {
    let template = template();
    let bucket = at(&template, "Resources/Bucket/Properties");
    for block in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
        assert_eq!(*at(bucket, &format!("PublicAccessBlockConfiguration/{block}")), true);
    }
    let encryption = at(bucket, "BucketEncryption/ServerSideEncryptionConfiguration").as_sequence().unwrap();
    assert_eq!(at(&encryption[0], "ServerSideEncryptionByDefault/SSEAlgorithm"), "AES256");
    let rules = at(bucket, "LifecycleConfiguration/Rules").as_sequence().unwrap();
    let expires = |prefix: &str| {
        rules.iter().any(|rule| {
            rule.get("Prefix").is_some_and(|own| own == prefix) && *at(rule, "ExpirationInDays") == 14
        })
    };
    assert!(expires("runs/") && expires("plans/") && !expires("code/"));
    let policy =
        at(&template, "Resources/BucketPolicy/Properties/PolicyDocument/Statement").as_sequence().unwrap();
    assert_eq!((at(&policy[0], "Effect"), at(&policy[0], "Action")), (&"Deny".into(), &"s3:*".into()));
    assert_eq!(at(&policy[0], "Condition/Bool/aws:SecureTransport"), "false");
    assert_eq!(texts(at(&policy[0], "Resource")), ["Bucket.Arn", "${Bucket.Arn}/*"]);
}

#[test]
fn logs_are_kept_for_a_while_and_nothing_outlives_the_stack() {
    let template = template();
    assert_eq!(at(&template, "Resources/Logs/Properties/RetentionInDays"), 14);
    for kept in ["Bucket", "Queue", "DeadLetterQueue", "Logs"] {
        assert_eq!(at(&template, &format!("Resources/{kept}/DeletionPolicy")), "Delete");
    }
}

#[test]
fn everybody_needs_the_capability_that_the_command_gives() {
    let template = template();
    let resources = untagged(template.get("Resources").unwrap()).as_mapping().unwrap();
    let roles = resources.values().filter(|resource| *at(resource, "Type") == "AWS::IAM::Role");
    // A role with a name of its own would need CAPABILITY_NAMED_IAM.
    assert_eq!(
        roles.map(|role| role.get("Properties").unwrap().get("RoleName").is_some()).collect::<Vec<_>>(),
        [false]
    );
}

/// The operator's policy holds what a run, a deployment and `CloudFormation` on its behalf need. What the command
/// asks for itself is enforced by the emulator; these are not: it provisions without asking.
#[test]
fn the_operators_policy_allows_what_the_emulator_does_not_ask_for() {
    let policy: Value =
        serde_yaml_ng::from_str(include_str!("../../../../../infra/operator-policy.json")).unwrap();
    let actions: Vec<String> = at(&policy, "Statement")
        .as_sequence()
        .unwrap()
        .iter()
        .flat_map(|statement| texts(at(statement, "Action")))
        .collect();
    for action in [
        "cloudwatch:GetMetricData",
        "logs:FilterLogEvents",
        "lambda:UpdateEventSourceMapping",
        "lambda:GetEventSourceMapping",
        "lambda:GetAccountSettings",
        "lambda:GetFunctionConcurrency",
        "lambda:InvokeFunction",
        "sqs:ReceiveMessage",
        "lambda:CreateFunction",
        "lambda:CreateEventSourceMapping",
        "lambda:DeleteEventSourceMapping",
        "lambda:TagResource",
        "iam:ListRolePolicies",
        "sqs:GetQueueUrl",
        "sqs:ListQueueTags",
        "s3:GetEncryptionConfiguration",
        "logs:DeleteLogGroup",
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "iam:PassRole",
        "s3:CreateBucket",
        "s3:PutBucketPolicy",
        "s3:PutEncryptionConfiguration",
        "s3:PutLifecycleConfiguration",
        "sqs:CreateQueue",
        "sqs:SendMessage",
        "logs:CreateLogGroup",
        "logs:PutRetentionPolicy",
    ] {
        assert!(actions.iter().any(|own| own == action), "{action}");
    }
    assert!(actions.iter().all(|action| !action.contains('*')), "{actions:?}");
}

#[test]
fn what_is_deployed_unasked_is_what_estimates_assume() {
    let (template, assumed) = (template(), Function::DEFAULT);
    assert_eq!(at(&template, "Parameters/MemoryMb/Default").as_u64(), Some(assumed.memory_mb.into()));
    assert_eq!(at(&template, "Parameters/Architecture/Default"), assumed.architecture.name());
}

fn with(lanes: u32) -> String {
    super::with_lanes(TEMPLATE, std::num::NonZeroU32::new(lanes).unwrap()).unwrap()
}

/// Where a value mentions parts of the stack.
fn mentions(value: &Value) -> Vec<String> {
    match value {
        Value::Tagged(tagged) if tagged.tag == "Ref" || tagged.tag == "GetAtt" => {
            let text = tagged.value.as_str().unwrap();
            vec![text.split('.').next().unwrap().to_owned()]
        }
        Value::Tagged(tagged) => mentions(&tagged.value),
        Value::Sequence(values) => values.iter().flat_map(mentions).collect(),
        Value::Mapping(entries) => entries.values().flat_map(mentions).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn each_lane_has_a_queue_a_function_and_a_mapping_of_its_own_and_shares_the_rest() {
    assert_eq!(with(1), TEMPLATE);
    let one = template();
    let names = |template: &Value| -> std::collections::BTreeSet<String> {
        let resources = at(template, "Resources").as_mapping().unwrap();
        resources.keys().map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    for lanes in [2, 3, super::MOST_LANES] {
        let text = with(lanes);
        let many: Value = serde_yaml_ng::from_str(&text).unwrap();
        let mut expected = names(&one);
        for lane in 2..=lanes {
            for part in ["Queue", "Function", "Mapping"] {
                expected.insert(format!("{part}{lane}"));
                // But for the numbers it is what the first one is.
                let own = at(&many, &format!("Resources/{part}{lane}"));
                let as_first = serde_yaml_ng::to_string(own).unwrap().replace(&lane.to_string(), "");
                let first = serde_yaml_ng::to_string(at(&one, &format!("Resources/{part}"))).unwrap();
                assert_eq!(as_first, first.replace(&lane.to_string(), ""), "{part}{lane}");
            }
            let of = |part: &str| mentions(at(&many, &format!("Resources/{part}{lane}/Properties")));
            let (queue, function) = (format!("Queue{lane}"), format!("Function{lane}"));
            assert!(of("Queue").contains(&"DeadLetterQueue".to_owned()));
            assert!(of("Function").contains(&queue) && !of("Function").contains(&"Queue".to_owned()));
            assert!(
                of("Function").contains(&"Role".to_owned()) && of("Function").contains(&"Logs".to_owned())
            );
            assert_eq!(of("Mapping"), [queue.clone(), function.clone()]);
            for (output, part) in [("QueueUrl", "Queue"), ("Function", "Function"), ("Mapping", "Mapping")] {
                assert_eq!(
                    *at(&many, &format!("Outputs/{output}{lane}/Value")),
                    format!("{part}{lane}").as_str()
                );
            }
        }
        assert_eq!(names(&many), expected);
        let statements = at(
            &at(&many, "Resources/Role/Properties/Policies").as_sequence().unwrap()[0],
            "PolicyDocument/Statement",
        );
        for name in ["GiveBackSeats", "ReceiveSeats"] {
            let statement =
                statements.as_sequence().unwrap().iter().find(|one| at(one, "Sid") == name).unwrap();
            let arns: Vec<String> =
                (1..=lanes).map(|lane| format!("{}.Arn", super::name_in_lane("Queue", lane))).collect();
            assert_eq!(texts(at(statement, "Resource")), arns);
        }
        // CloudFormation takes no more in a request.
        assert!(text.len() < 51_200, "{lanes} lanes are {} bytes", text.len());
    }
}

#[test]
fn a_template_that_does_not_say_what_a_lane_is_has_one() {
    use super::LaneError::{NoMarks, Order};
    let two = std::num::NonZeroU32::new(2).unwrap();
    let check = |text: &str, error| assert_eq!(super::with_lanes(text, two), Err(error), "{text}");
    check("Resources: {}\n", NoMarks);
    check("# lane:begin\nQueue: 1\n", Order);
    check("# lane:end\n", Order);
    check("# lane:begin\n# lane:begin\n# lane:end\n", Order);
    assert_eq!(super::with_lanes("Resources: {}\n", std::num::NonZeroU32::MIN).unwrap(), "Resources: {}\n");
    let text = "a\n  # lane:begin\n  # of each\n  Queue: { T: AWS::SQS::Queue, U: !Ref Queue, D: DeadLetterQueue, F: FunctionName }\n  # lane:end\nb";
    let expected = "a\n  # of each\n  Queue: { T: AWS::SQS::Queue, U: !Ref Queue, D: DeadLetterQueue, F: FunctionName }\n  Queue2: { T: AWS::SQS::Queue, U: !Ref Queue2, D: DeadLetterQueue, F: FunctionName }\nb";
    assert_eq!(super::with_lanes(text, two).unwrap(), expected);
}

#[test]
fn generators_are_told_what_they_may_do_and_by_default_may_do_anything() {
    let template = template();
    let variables = at(&template, "Resources/Function/Properties/Environment/Variables");
    for (variable, parameter, default) in [
        ("SQUALL_ALLOWED_HOSTS", "AllowedHosts", Value::from("")),
        ("SQUALL_MAX_RATE", "MaxRate", Value::from(0)),
        ("SQUALL_MAX_GENERATORS", "MaxGenerators", Value::from(0)),
    ] {
        assert_eq!(at(variables, variable), parameter);
        assert_eq!(*at(&template, &format!("Parameters/{parameter}/Default")), default);
    }
    assert_eq!(*at(&template, "Parameters/Lanes/MaxValue"), super::MOST_LANES);
}
