//! Who asks: tokens, which the users of a thread share, and signatures.

use http::header::AUTHORIZATION;
use http_body_util::BodyExt;

use super::*;

/// What the service for tokens does with the request of this number.
type Give = fn(usize) -> (Duration, u16, String);

/// Gives tokens, and writes down who asks for what: path, `Authorization`, and the body of requests for tokens.
#[derive(Clone)]
struct Api {
    log: Rc<RefCell<Vec<String>>>,
    give: Give,
}

impl Connect for Api {
    fn connect(
        &self,
        _: &Origin,
        _: Rc<Cell<Phases>>,
    ) -> LocalBoxFuture<'static, Result<Dialed, ConnectError>> {
        let api = self.clone();
        let (near, far) = tokio::io::duplex(64 * 1024);
        spawn_local(async move {
            let respond = service_fn(|request: Request<Incoming>| {
                let api = api.clone();
                async move { Ok::<_, Infallible>(api.answer(request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(far), respond).await;
        });
        let dialed = Dialed { io: Box::new(near), http2: false, remote: None, proxy: None };
        Box::pin(async move { Ok(dialed) })
    }
}

impl Api {
    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let said = head.headers.get(AUTHORIZATION).map_or("-", |value| value.to_str().unwrap());
        let mut line = format!("{} {said}", head.uri);
        if let Some(date) = head.headers.get("x-amz-date") {
            line = format!("{} {}: {line}", date.to_str().unwrap(), head.headers["host"].to_str().unwrap());
        }
        let is_token = head.uri.path() == "/token";
        if is_token {
            line = format!("{line} {}", String::from_utf8_lossy(&body));
        }
        let before = self.tokens().len();
        self.log.borrow_mut().push(line);
        let (takes, status, answer) =
            if is_token { (self.give)(before) } else { (Duration::from_millis(10), 200, "{}".to_owned()) };
        tokio::time::sleep(takes).await;
        let mut response = Response::new(Full::new(Bytes::from(answer)));
        *response.status_mut() = status.try_into().unwrap();
        if head.uri.path() == "/away" {
            *response.status_mut() = 302.try_into().unwrap();
            response.headers_mut().insert("location", "http://127.0.0.2:1/there".parse().unwrap());
        }
        response
    }

    fn tokens(&self) -> Vec<String> {
        let log = self.log.borrow();
        log.iter().filter(|line| line.starts_with("/token")).cloned().collect()
    }
}

const CLIENT: &str = "token_url: /token, client_id: load, client_secret: 'a/b c'";

fn planned(auth: &str, load: &str, scenario: &str) -> Arc<Plan> {
    let text = format!(
        "target: http://127.0.0.1:1\nallow: [127.0.0.2]\nhttp: {{ auth: {auth} }}\nload: {load}\n\
         scenarios: {{ a: {scenario} }}"
    );
    let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
    Arc::new(compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan)
}

fn run_api(plan: &Arc<Plan>, give: Give) -> (Api, Merged) {
    let api = Api { log: Rc::default(), give };
    let served = api.clone();
    (api, run_with(plan, Share::WHOLE, |_| served))
}

fn with_oauth2(more: &str, load: &str, scenario: &str, give: Give) -> (Api, Merged) {
    run_api(&planned(&format!("{{ oauth2: {{ {CLIENT}{more} }} }}"), load, scenario), give)
}

/// The first series is that of requests for tokens.
fn counts(merged: &Merged) -> (u64, u64) {
    let requests = |id| merged.series().get(&SeriesId(id)).map_or(0, |totals| totals.counts.requests);
    (requests(0), requests(1))
}

fn good(number: usize) -> (Duration, u16, String) {
    (Duration::from_millis(300), 200, format!("{{\"access_token\":\"t{number}\",\"token_type\":\"bearer\"}}"))
}

#[test]
fn users_share_a_token_that_is_there_before_the_load() {
    let scenario = "{ think: 100ms, steps: [ { get: / } ] }";
    let (api, merged) = with_oauth2(", scope: 'a b'", "{ users: 5, duration: 3s }", scenario, good);
    // `load:a%2Fb%20c`, of which `/` may stand as it is.
    let tokens = api.tokens();
    assert_eq!(tokens, ["/token Basic bG9hZDphL2IlMjBj grant_type=client_credentials&scope=a%20b"]);
    let log = api.log.borrow();
    assert!(log.iter().filter(|line| !line.starts_with("/token")).all(|line| line == "/ Bearer t0"));
    let (fetched, requests) = counts(&merged);
    assert!(fetched == 1 && requests == log.len() as u64 - 1 && requests > 80, "{fetched} {requests}");
    assert_eq!(merged.outcomes().keys().collect::<Vec<_>>(), [&Outcome::Status(200)]);
    // It was there when the load began.
    let totals = &merged.series()[&SeriesId(1)];
    assert!(totals.response.max_us() < Some(20_000), "{:?}", totals.response.max_us());
    assert_eq!(merged.seconds().keys().next(), Some(&-1));
}

#[test]
fn who_waits_for_a_token_is_late_through_no_fault_of_generator_or_target() {
    let auth = "{ oauth2: { token_url: /token, client_id: 'u{{ vu.id }}', client_secret: s } }";
    let load = "{ rate: 20/s, duration: 3s, users: fresh }";
    let (_, merged) = run_api(&planned(auth, load, "{ steps: [ { get: / } ] }"), good);
    assert_eq!(counts(&merged), (60, 60));
    let totals = &merged.series()[&SeriesId(1)];
    assert!(totals.response.min_us() >= Some(300_000) && totals.service.max_us() < Some(20_000));
    let lag = &merged.generators().values().next().unwrap().send_lag;
    assert!(lag.max_us() < Some(5_000), "{:?}", lag.max_us());
}

#[test]
fn the_next_token_is_there_before_the_last_one_expires() {
    fn short(number: usize) -> (Duration, u16, String) {
        let answer = format!("{{\"access_token\":\"t{number}\",\"expires_in\":\"10\"}}");
        // The second one cannot be got at once: the first is still good.
        if number == 1 {
            return (Duration::from_millis(300), 503, String::new());
        }
        (Duration::from_millis(300), 200, answer)
    }
    let scenario = "{ think: 90ms, steps: [ { get: / } ] }";
    let (api, merged) = with_oauth2("", "{ users: 3, duration: 24s }", scenario, short);
    // Half a second before the load, 8 s after that in vain, 1.5 s later, and 8 s after that.
    assert_eq!(api.tokens().len(), 4);
    let mut used: Vec<String> =
        api.log.borrow().iter().filter(|line| !line.starts_with("/token")).cloned().collect();
    assert!(used.is_sorted());
    used.dedup();
    assert_eq!(used, ["/ Bearer t0", "/ Bearer t2", "/ Bearer t3"]);
    let totals = &merged.series()[&SeriesId(1)];
    assert!(totals.counts.requests > 600, "{}", totals.counts.requests);
    assert!(totals.response.max_us() < Some(20_000), "{:?}", totals.response.max_us());
    assert_eq!(totals.counts.errors, 0);
}

#[test]
fn without_a_token_a_request_fails_and_says_why() {
    fn bad(number: usize) -> (Duration, u16, String) {
        let answer = match number {
            0 => (500, "{\"access_token\":\"t\"}"),
            1 => (200, "{}"),
            2 => (200, "{\"access_token\":\"t\",\"token_type\":\"mac\"}"),
            3 => (200, "{\"access_token\":\"a\\nb\"}"),
            _ => (200, "{\"access_token\":\"t\"}"),
        };
        (Duration::from_millis(1), answer.0, answer.1.to_owned())
    }
    let scenario = "{ think: 50ms, steps: [ { get: / } ] }";
    let (api, merged) = with_oauth2("", "{ users: 2, duration: 6s }", scenario, bad);
    // One a second until it is good.
    assert_eq!(api.tokens().len(), 5);
    let outcomes = merged.outcomes();
    assert!(outcomes[&Outcome::Expression] > 100 && outcomes[&Outcome::Status(200)] > 40, "{outcomes:?}");
    let problems: Vec<&String> = merged.problems().keys().collect();
    for reason in [
        "`oauth2 token` ended with 500",
        "`oauth2 token` ended with expectation",
        "what the server gave is no bearer token",
        "what the server gave cannot be a token",
    ] {
        let told = format!("`GET /`: there is no token: {reason}");
        assert!(problems.contains(&&told), "{told}: {problems:?}");
    }
}

#[test]
fn what_fetches_a_token_at_the_end_is_unfinished() {
    fn never(_: usize) -> (Duration, u16, String) {
        (Duration::from_mins(1), 200, String::new())
    }
    let scenario = "{ steps: [ { get: / } ] }";
    let (_, merged) = with_oauth2("", "{ users: 2, duration: 2s, graceful_stop: 1s }", scenario, never);
    assert_eq!(counts(&merged), (1, 0));
    assert_eq!(merged.outcomes().keys().collect::<Vec<_>>(), [&Outcome::Unfinished]);
}

#[test]
fn clients_that_differ_have_tokens_of_their_own() {
    let auth =
        "{ oauth2: { token_url: /token, client_id: 'u{{ vu.id }}', client_secret: s, credentials: body } }";
    let load = "{ users: 3, duration: 60s, iterations_per_user: 2 }";
    let (api, _) = run_api(&planned(auth, load, "{ steps: [ { get: / } ] }"), good);
    let mut tokens = api.tokens();
    tokens.sort();
    let told = |user| format!("/token - grant_type=client_credentials&client_id=u{user}&client_secret=s");
    assert_eq!(tokens, [told(0), told(1), told(2)]);
}

#[test]
fn what_several_call_has_one_token() {
    let text = format!(
        "target: http://127.0.0.1:1\nload: {{ users: 2, duration: 60s, iterations_per_user: 1 }}\n\
         fragments: {{ look: [ {{ get: /look, auth: {{ oauth2: {{ {CLIENT}, scope: s }} }} }} ] }}\n\
         scenarios: {{ a: {{ steps: [ {{ call: look }}, {{ call: look }} ] }}, b: {{ steps: [ {{ call: look }}, \
         {{ get: /other, auth: {{ oauth2: {{ {CLIENT}, audience: s }} }} }} ] }} }}"
    );
    let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
    let plan = Arc::new(compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan);
    let (api, _) = run_api(&plan, good);
    let sent = |form: &str| format!("/token Basic bG9hZDphL2IlMjBj grant_type=client_credentials&{form}");
    assert_eq!(api.tokens(), [sent("scope=s"), sent("audience=s")]);
    assert_eq!(api.log.borrow().iter().filter(|line| *line == "/look Bearer t0").count(), 3);
}

#[test]
fn who_asks_is_said_where_the_plan_says_so_and_to_nobody_else() {
    let scenario = "{ before: [ { get: /before } ], auth: { basic: { user: a, password: b } }, steps: [ \
        { get: /basic }, { get: /own, headers: { Authorization: mine } }, \
        { get: /token2, auth: { oauth2: { token_url: /token, client_id: c, client_secret: d } } } ], \
        after: [ { get: /away, auth: { bearer: x } } ] }";
    let load = "{ users: 1, duration: 60s, iterations_per_user: 1 }";
    let (api, _) = with_oauth2("", load, scenario, good);
    let log = api.log.borrow();
    let log: Vec<&String> = log.iter().filter(|line| !line.starts_with("/token ")).collect();
    assert_eq!(
        log,
        [
            "/before Bearer t0",
            "/basic Basic YTpi",
            "/own mine",
            "/token2 Bearer t1",
            "/away Bearer x",
            "/there -"
        ]
    );
    let (api, _) = with_oauth2("", load, "{ steps: [ { get: /away } ] }", good);
    let log = api.log.borrow();
    assert_eq!(log[1..], ["/away Bearer t0", "/there -"]);
}

#[test]
fn requests_are_signed_as_aws_does_it() {
    // The examples of AWS's own test suite, at their time.
    let signed = |steps: &str| {
        let auth = "{ aws: { service: service, region: us-east-1, access_key: AKIDEXAMPLE, \
                    secret_key: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY } }";
        let text = format!(
            "target: http://example.amazonaws.com\nhttp: {{ auth: {auth} }}\n\
             load: {{ users: 1, duration: 60s, iterations_per_user: 1 }}\n\
             scenarios: {{ a: {{ steps: [ {steps} ] }} }}"
        );
        let plan = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default())).unwrap().plan;
        let (api, _) = run_api(&Arc::new(plan), good);
        let log = api.log.borrow();
        log[0].clone()
    };
    let check = |steps: &str, path: &str, headers: &str, signature: &str| {
        let expected = format!(
            "20150830T123600Z example.amazonaws.com: {path} AWS4-HMAC-SHA256 \
             Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={headers}, Signature={signature}"
        );
        assert_eq!(signed(steps), expected, "{steps}");
    };
    check(
        "{ get: / }",
        "/",
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    );
    check(
        "{ get: '/?Param2=value2&Param1=value1' }",
        "/?Param2=value2&Param1=value1",
        "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    );
    check(
        "{ post: /, form: { Param1: value1 } }",
        "/",
        "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    );
}
