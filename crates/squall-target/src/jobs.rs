//! Reports that take their time, and the jobs that make them.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::chance::{Progress, progress};
use crate::input::{Outcome, Refusal, limit, status, text, texts, wrong};
use crate::state::State;

/// A report under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    created: Duration,
    workspace: String,
    format: String,
    rows: usize,
}

/// Things that a list looks through, the newest first.
pub(crate) const LISTED: usize = 1_000;

/// `POST /reports/usage`
pub(crate) fn report(body: &Value, state: &mut State, now: Duration) -> Outcome {
    let workspace = text(body, "/workspace_id")?;
    if instant(body, "/time_range/start")? >= instant(body, "/time_range/end")? {
        return Err(wrong("/time_range/end", "after its start"));
    }
    let (regions, services) = (texts(body, "/filters/region")?, texts(body, "/filters/service")?);
    let format = text(body, "/format")?;
    if !["json", "csv"].contains(&format) {
        return Err(wrong("/format", "json or csv"));
    }
    let rows = regions.saturating_mul(services);
    let job = Job { created: now, workspace: workspace.to_owned(), format: format.to_owned(), rows };
    Ok((202, json!({ "job_id": state.jobs.add(job), "status": "queued" })))
}

/// `GET /jobs/:id`
pub(crate) fn show(id: &str, state: &State, now: Duration) -> Outcome {
    let (number, job) = find(id, state)?;
    Ok((200, json!({ "job_id": id, "status": status_of(number, job, state, now) })))
}

/// `GET /jobs/:id/result`
pub(crate) fn result(id: &str, state: &State, now: Duration) -> Outcome {
    let (number, job) = find(id, state)?;
    let status = status_of(number, job, state, now);
    if status != "completed" {
        return Err(Refusal::new(409, format!("job is {status}")));
    }
    let Job { workspace, format, rows, .. } = job;
    Ok((200, json!({ "job_id": id, "workspace_id": workspace, "format": format, "rows": rows })))
}

/// `GET /jobs`
pub(crate) fn list(query: &str, state: &State, now: Duration) -> Outcome {
    let (wanted, limit) = (status(query, &["queued", "running", "completed", "failed"])?, limit(query, 25)?);
    let jobs = state.jobs.newest().take(LISTED);
    let jobs = jobs.map(|(number, job)| (number, status_of(number, job, state, now)));
    let items: Vec<Value> = jobs
        .filter(|(_, status)| wanted.is_none_or(|wanted| wanted == *status))
        .take(limit)
        .map(|(number, status)| json!({ "job_id": state.jobs.id(number), "status": status }))
        .collect();
    Ok((200, json!({ "items": items })))
}

fn find<'a>(id: &str, state: &'a State) -> Result<(u64, &'a Job), Refusal> {
    state.jobs.get(id).ok_or_else(|| Refusal::new(404, "no such job"))
}

fn status_of(number: u64, job: &Job, state: &State, now: Duration) -> &'static str {
    match progress(state.jobs.seed(), number, now.saturating_sub(job.created)) {
        Progress::Queued => "queued",
        Progress::Running => "running",
        Progress::Completed => "completed",
        Progress::Failed => "failed",
    }
}

fn instant(body: &Value, at: &str) -> Result<OffsetDateTime, Refusal> {
    let instant = OffsetDateTime::parse(text(body, at)?, &Rfc3339);
    instant.map_err(|_| wrong(at, "an instant such as 2026-04-01T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::API_KEY;
    use crate::testing::{Client, with};

    fn good() -> Value {
        json!({
            "workspace_id": "ws-prod-analytics-001",
            "time_range": { "start": "2026-04-01T00:00:00Z", "end": "2026-04-06T00:00:00Z" },
            "filters": { "region": ["us-east-1", "eu-west-1"], "service": ["billing", "auth", "orders"] },
            "format": "json",
        })
    }

    fn client() -> Client {
        let mut client = Client::default();
        client.authorization = Some(format!("Api-Key {API_KEY}"));
        client
    }

    fn start(client: &mut Client) -> String {
        let answer = client.post("/api/v1/reports/usage", &good());
        assert_eq!((answer.route, answer.status), ("POST /reports/usage", 202));
        assert_eq!(answer.body["status"], "queued");
        answer.body["job_id"].as_str().unwrap().to_owned()
    }

    fn statuses(client: &mut Client, query: &str) -> Vec<String> {
        let answer = client.get(&format!("/api/v1/jobs{query}"));
        assert_eq!((answer.route, answer.status), ("GET /jobs", 200));
        let items = answer.body["items"].as_array().unwrap();
        items.iter().map(|item| item["status"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_job_is_queued_then_running_then_done_and_has_its_result_only_then() {
        let mut client = client();
        let ids: Vec<String> = (0..40).map(|_| start(&mut client)).collect();
        let begin = client.now;
        for id in &ids {
            let mut seen = Vec::new();
            for ms in (0..=6_000).step_by(100) {
                client.now = begin + Duration::from_millis(ms);
                let answer = client.get(&format!("/api/v1/jobs/{id}"));
                assert_eq!((answer.route, answer.status), ("GET /jobs/:id", 200));
                assert_eq!(answer.body["job_id"], id.as_str());
                let status = answer.body["status"].as_str().unwrap().to_owned();
                let result = client.get(&format!("/api/v1/jobs/{id}/result"));
                let expected = if status == "completed" { 200 } else { 409 };
                assert_eq!((result.route, result.status), ("GET /jobs/:id/result", expected), "{status}");
                if seen.last() != Some(&status) {
                    seen.push(status);
                }
            }
            assert_eq!(seen[..2], ["queued", "running"]);
            assert!(seen[2..] == ["completed"] || seen[2..] == ["failed"], "{seen:?}");
        }
    }

    #[test]
    fn a_list_has_the_newest_jobs_of_a_status() {
        let mut client = client();
        let old: Vec<String> = (0..60).map(|_| start(&mut client)).collect();
        client.now += Duration::from_secs(6);
        let new = start(&mut client);
        assert_eq!(statuses(&mut client, "").len(), 25);
        assert_eq!(statuses(&mut client, "?status=queued&limit=25"), ["queued"]);
        let completed = statuses(&mut client, "?status=completed&limit=100");
        let failed = statuses(&mut client, "?status=failed&limit=100");
        assert!(completed.iter().all(|status| status == "completed"));
        assert_eq!((completed.len() + failed.len(), failed.is_empty()), (60, false));
        assert!(statuses(&mut client, "?status=running").is_empty());

        let answer = client.get("/api/v1/jobs?limit=2");
        let ids = [&answer.body["items"][0]["job_id"], &answer.body["items"][1]["job_id"]];
        assert_eq!(ids, [&json!(new), &json!(old[59])]);
        for query in ["status=done", "status=", "limit=0", "limit=101", "limit=x"] {
            assert_eq!(client.get(&format!("/api/v1/jobs?{query}")).status, 400, "{query}");
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let mut client = client();
        let mut check = |at: &str, value: Value| {
            let body = with(&good(), at, value);
            assert_eq!(client.post("/api/v1/reports/usage", &body).status, 400, "{body}");
        };
        for at in [
            "/workspace_id",
            "/time_range",
            "/time_range/start",
            "/time_range/end",
            "/filters",
            "/filters/region",
            "/filters/service",
            "/format",
        ] {
            check(at, Value::Null);
            check(at, json!(""));
            check(at, json!([]));
        }
        check("/time_range/start", json!("2026-04-01"));
        check("/time_range/start", json!("2026-04-06T00:00:00Z"));
        check("/filters/region", json!("us-east-1"));
        check("/filters/service", json!(["billing", ""]));
        check("/format", json!("xml"));
        for path in ["/api/v1/jobs/job_1", "/api/v1/jobs/job_1/result", "/api/v1/jobs/"] {
            assert_eq!(client.get(path).status, 404, "{path}");
        }
    }
}
