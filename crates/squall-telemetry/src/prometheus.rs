//! Prometheus, asked over its HTTP API.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::Client;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::answer::{AnswerError, matrix, scalar};
use crate::gathered::shortened;
use crate::presets::Query;
use crate::reading::{ClockOffset, Said};

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(5);

/// The largest answer that is taken.
const MOST_BYTES: usize = 32 * 1_024 * 1_024;

/// So many points of a series Prometheus gives at most.
const MOST_STEPS: f64 = 10_000.0;

/// A Prometheus, and what it is asked.
#[derive(Debug)]
pub struct Prometheus {
    client: Client,
    url: Url,
    headers: HeaderMap,
    queries: Vec<Query>,
    step_s: f64,
}

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum PrometheusError {
    /// There is no client.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
    /// Nobody answers.
    #[error("no answer: {0}")]
    Silence(String),
    /// It takes too long.
    #[error("no answer within {:.0} s", .0.as_secs_f64())]
    TooLate(Duration),
    /// The answer is a failure.
    #[error("answered with status {0}{1}")]
    Status(StatusCode, String),
    /// The answer is too large.
    #[error("the answer has more than {} MB: let the query add up (`sum by (…)`), or ask for fewer points (`step`)", MOST_BYTES / 1_024 / 1_024)]
    TooLarge,
    /// The answer says nothing.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl Prometheus {
    /// At this address; values are to be so far apart.
    pub fn new(
        url: &Url,
        headers: Vec<(HeaderName, HeaderValue)>,
        queries: Vec<Query>,
        step: Duration,
    ) -> Result<Self, PrometheusError> {
        Ok(Self {
            client: client()?,
            url: url.clone(),
            headers: headers.into_iter().collect(),
            queries,
            step_s: step.as_secs_f64().max(1.0),
        })
    }

    /// What its instruments said between two times, in seconds since 1970 on the clock of this machine, which `now` tells.
    /// Whatever has no answer until `deadline` is left out.
    pub async fn read(&self, from_s: f64, until_s: f64, deadline: Instant, now: impl Fn() -> f64) -> Said {
        let mut said = Said::default();
        let asked_s = now();
        match self.ask("query", &[("query", "time()")], deadline).await.and_then(|body| Ok(scalar(&body)?)) {
            Ok(there_s) => said.clock = Some(ClockOffset::of(there_s, asked_s, now())),
            Err(error) => {
                // Who does not know what time it is knows nothing else.
                said.problems.push(error.to_string());
                return said;
            }
        }
        let offset_s = said.clock.map_or(0.0, |clock| clock.offset_s);
        let step_s = self.step_s.max(((until_s - from_s) / MOST_STEPS).ceil());
        // On whole steps, so that whoever asks again gets the same points.
        let (start, end) = (((from_s + offset_s) / step_s).floor() * step_s, until_s + offset_s);
        let times = [format!("{start:.3}"), format!("{end:.3}"), step_s.to_string()];
        for query in &self.queries {
            let [start, end, step] = &times;
            let pairs = [
                ("query", query.text.as_str()),
                ("start", start.as_str()),
                ("end", end.as_str()),
                ("step", step.as_str()),
            ];
            let answer = self.ask("query_range", &pairs, deadline).await;
            match answer.and_then(|body| Ok(matrix(&body, query)?)) {
                Ok(more) => {
                    said.readings.extend(more.readings);
                    said.flaws = said.flaws.and(more.flaws);
                }
                Err(error) => said.problems.push(format!("`{}`: {error}", shortened(&query.name))),
            }
        }
        said
    }

    async fn ask(
        &self,
        what: &str,
        pairs: &[(&str, &str)],
        deadline: Instant,
    ) -> Result<Vec<u8>, PrometheusError> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1", what]);
        }
        url.query_pairs_mut().extend_pairs(pairs);
        let until = deadline.min(Instant::now() + QUESTION);
        let within = until.duration_since(Instant::now());
        match timeout_at(until, self.fetch(url)).await {
            Ok(answer) => answer,
            Err(_) => Err(PrometheusError::TooLate(within)),
        }
    }

    async fn fetch(&self, url: Url) -> Result<Vec<u8>, PrometheusError> {
        let request = self.client.get(url).headers(self.headers.clone());
        let mut response = request.send().await.map_err(|error| silence(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| silence(&error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(PrometheusError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        // What is wrong with a query is said in the body.
        let reason = match scalar(&body) {
            Err(AnswerError::Refused(reason)) => format!(": {reason}"),
            _ => String::new(),
        };
        Err(PrometheusError::Status(status, reason))
    }
}

/// An error with what it comes from, and without the URL, which may hold what nobody is to read.
fn silence(error: &reqwest::Error) -> PrometheusError {
    let mut causes = std::iter::successors(std::error::Error::source(error), |error| (*error).source());
    let deepest = causes.by_ref().last();
    PrometheusError::Silence(deepest.map_or_else(|| "it cannot be asked".to_owned(), ToString::to_string))
}

/// Trusts the authorities of Mozilla and of this machine, which may have one for what is inside a company. It follows
/// nothing and asks no proxy.
fn client() -> Result<Client, PrometheusError> {
    let failed = |error: &dyn std::error::Error| PrometheusError::Client(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const CLOCK: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1010,"1010"]}}"#;

    /// A server that answers each question as it is told to, or hangs where it is told nothing. What it was asked.
    async fn asked(answers: Vec<Option<(u16, String)>>, deadline: Duration) -> (Said, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut questions = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 8_192];
                let length = stream.read(&mut head).await.unwrap();
                questions.push(String::from_utf8_lossy(&head[..length]).into_owned());
                match answer {
                    Some((status, body)) => {
                        let answer = format!(
                            "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    None => std::future::pending().await,
                }
            }
            questions
        });
        let url = Url::parse(&format!("http://{address}/prom/")).unwrap();
        let token = (HeaderName::from_static("authorization"), HeaderValue::from_static("Bearer t0"));
        let queries = vec![Query::new("pods", "sum(up{a=\"b\"})", ""), Query::new("cpu", "cpu", "")];
        let prometheus = Prometheus::new(&url, vec![token], queries, Duration::from_secs(2)).unwrap();
        let said = prometheus.read(1_000.0, 1_005.0, Instant::now() + deadline, || 1_000.0).await;
        let questions = match tokio::time::timeout(Duration::from_millis(200), server).await {
            Ok(questions) => questions.unwrap(),
            Err(_) => Vec::new(),
        };
        (said, questions)
    }

    fn pods() -> String {
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1010,"3"]]}]}}"#.to_owned()
    }

    #[tokio::test]
    async fn questions_are_on_the_clock_of_the_one_who_is_asked() {
        let answers = vec![Some((200, CLOCK.to_owned())), Some((200, pods())), Some((200, pods()))];
        let (said, questions) = asked(answers, Duration::from_secs(5)).await;
        assert_eq!(said.clock, Some(ClockOffset { offset_s: 10.0, error_s: 0.0 }));
        assert_eq!(said.readings.len(), 2);
        assert!(said.problems.is_empty(), "{:?}", said.problems);
        assert!(questions[0].starts_with("GET /prom/api/v1/query?query=time%28%29 "), "{}", questions[0]);
        let range = "GET /prom/api/v1/query_range?query=sum%28up%7Ba%3D%22b%22%7D%29&start=1010.000&end=1015.000&step=2 ";
        assert!(questions[1].starts_with(range), "{}", questions[1]);
        assert!(
            questions.iter().all(|question| question.contains("authorization: Bearer t0")),
            "{questions:?}"
        );
    }

    #[tokio::test]
    async fn a_question_that_fails_does_not_spoil_the_others() {
        let refusal = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#.to_owned();
        let answers = vec![Some((200, CLOCK.to_owned())), Some((400, refusal)), Some((200, pods()))];
        let (said, _) = asked(answers, Duration::from_secs(5)).await;
        assert_eq!(said.readings.len(), 1);
        assert_eq!(said.problems, ["`pods`: answered with status 400 Bad Request: parse error"]);
    }

    #[tokio::test]
    async fn who_fails_from_the_first_is_asked_no_more() {
        let (said, questions) = asked(vec![Some((500, "oops".to_owned()))], Duration::from_secs(5)).await;
        assert_eq!(said.problems, ["answered with status 500 Internal Server Error"]);
        assert_eq!(questions.len(), 1);
        let (said, _) = asked(vec![Some((200, "oops".to_owned()))], Duration::from_secs(5)).await;
        assert!(said.problems[0].contains("not that of a Prometheus"), "{:?}", said.problems);
    }

    #[tokio::test]
    async fn who_hangs_is_waited_for_until_the_deadline_and_no_longer() {
        let begin = Instant::now();
        let (said, _) = asked(vec![None], Duration::from_millis(300)).await;
        assert!(said.problems[0].contains("no answer within"), "{:?}", said.problems);
        let (said, _) = asked(vec![Some((200, CLOCK.to_owned())), None], Duration::from_millis(300)).await;
        assert_eq!(said.problems.len(), 2, "{:?}", said.problems);
        assert!(begin.elapsed() < QUESTION, "two deadlines have passed, and no time-out");
    }

    #[tokio::test]
    async fn nobody_there_is_told_without_the_address() {
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        let prometheus = Prometheus::new(&url, Vec::new(), Vec::new(), Duration::ZERO).unwrap();
        let said = prometheus.read(0.0, 1.0, Instant::now() + QUESTION, || 0.0).await;
        assert!(
            said.problems[0].contains("refused") && !said.problems[0].contains("127"),
            "{:?}",
            said.problems
        );
    }
}
