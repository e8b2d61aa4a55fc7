use super::*;
use crate::scripted::Scripted;

const THROTTLED: &str = r#"{"__type":"TooManyRequestsException","message":"Rate Exceeded.","Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"}"#;

async fn check_answer(status: u16, body: &'static str, expected: Answer) {
    let service = Scripted::start(vec![(status, body)]);
    assert_eq!(ask(&service.connection, "f").await.unwrap(), expected);
    let asked = service.asked();
    assert_eq!(asked, ["POST /2015-03-31/functions/f/invocations HTTP/1.1 {\"Records\":[]}"]);
}

#[tokio::test]
async fn a_function_is_asked_once_and_given_nothing_to_do() {
    check_answer(200, r#"{"batchItemFailures":[]}"#, Answer::Fine).await;
    let limit = "ReservedFunctionConcurrentInvocationLimitExceeded";
    check_answer(429, THROTTLED, Answer::Throttled(limit.to_owned())).await;
}

#[test]
fn what_lambda_writes_of_a_function_that_broke_is_read() {
    let check = |payload: &str, kind: &str, message: &str| {
        let expected = Answer::Failed { kind: kind.to_owned(), message: message.to_owned() };
        assert_eq!(failed(payload.as_bytes()), expected);
    };
    let exit = r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: r Error: Runtime exited"}"#;
    check(exit, "Runtime.ExitError", "RequestId: r Error: Runtime exited");
    check(
        r#"{"errorMessage":"2026 r Task timed out after 60.00 seconds"}"#,
        "no type",
        "2026 r Task timed out after 60.00 seconds",
    );
    check("nothing", "no type", "nothing");
    check("", "no type", "");
}

#[tokio::test]
async fn dead_letters_of_a_run_are_known_by_their_seats_and_stay() {
    let letter = |run: &str, seat: u32| {
        let invitation = Invitation {
            version: squall_fleet::VERSION,
            run: run.to_owned(),
            seat,
            expires_at: squall_fleet::Time(1),
        };
        serde_json::to_string(&invitation.to_text()).unwrap()
    };
    let found = [letter("r1", 3), letter("r2", 4), "\"no seat\"".to_owned(), letter("r1", 7)];
    let messages: Vec<String> = (0..)
        .zip(&found)
        .map(|(index, body)| format!(r#"{{"MessageId":"m","ReceiptHandle":"h{index}","Body":{body}}}"#))
        .collect();
    let messages = format!(r#"{{"Messages":[{}]}}"#, messages.join(","));
    let mut received = 0;
    let service = Scripted::serve(move |request| {
        let body = if request.contains("AttributeNames") {
            r#"{"Attributes":{"ApproximateNumberOfMessages":"4","ApproximateNumberOfMessagesNotVisible":"0"}}"#.to_owned()
        } else if request.contains("MaxNumberOfMessages") {
            received += 1;
            if received == 1 { messages.clone() } else { "{}".to_owned() }
        } else {
            "{}".to_owned()
        };
        Some((200, body))
    });
    let seats = dead_letters(&service.connection, "http://dead", "r1").await.unwrap();
    assert_eq!(seats, BTreeSet::from([3, 7]));
    let asked = service.asked();
    let given_back = asked.iter().filter(|asked| asked.contains(r#""VisibilityTimeout":0"#)).count();
    assert_eq!(given_back, 4, "{asked:?}");
}

#[tokio::test]
async fn an_empty_queue_of_dead_letters_is_not_looked_into() {
    let empty =
        r#"{"Attributes":{"ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesNotVisible":"2"}}"#;
    let service = Scripted::start(vec![(200, empty)]);
    assert!(dead_letters(&service.connection, "http://dead", "r").await.unwrap().is_empty());
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_and_the_rest_is_found() {
    let service = Scripted::serve(|request| {
        let denied = r#"{"__type":"AccessDeniedException","Message":"no"}"#;
        Some(if request.contains("/concurrency") {
            (200, r#"{"ReservedConcurrentExecutions":2}"#.to_owned())
        } else if request.contains("/event-source-mappings/") {
            (200, r#"{"State":"Enabled","LastProcessingResult":"OK"}"#.to_owned())
        } else {
            (403, denied.to_owned())
        })
    });
    let deployed =
        Deployed { queue_url: "http://queue".to_owned(), function: "f".to_owned(), mapping: "m".to_owned() };
    let (lane, errors) = Box::pin(look_at(&service.connection, &deployed)).await;
    let expected = Lane {
        function: "f".to_owned(),
        mapping: Some(State { state: "Enabled".to_owned(), last_result: "OK".to_owned() }),
        reserved: Some(2),
        ..Lane::default()
    };
    assert_eq!(lane, expected);
    let errors: Vec<String> = errors.iter().map(StoreError::explain).collect();
    assert!(errors.len() == 2 && errors[0].contains("sqs:GetQueueAttributes"), "{errors:?}");
    assert!(errors[1].contains("lambda:InvokeFunction"), "{errors:?}");
    drop(service.asked());
}
