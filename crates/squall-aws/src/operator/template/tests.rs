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
        "lambda:UpdateEventSourceMapping",
        "lambda:GetEventSourceMapping",
        "lambda:GetAccountSettings",
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
