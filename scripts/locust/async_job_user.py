"""The third journey of docs/examples: async-jobs.yaml."""

import random
import time

from locust import HttpUser, between, task

HEADERS = {
    "Authorization": "Api-Key lf_demo_cloudnative_api_key",
    "Content-Type": "application/json",
    "Accept": "application/json",
}
REPORT = {
    "workspace_id": "ws-prod-analytics-001",
    "time_range": {"start": "2026-04-01T00:00:00Z", "end": "2026-04-06T00:00:00Z"},
    "filters": {"region": ["us-east-1", "eu-west-1"], "service": ["billing", "auth", "orders"]},
    "format": "json",
}


class Analyst(HttpUser):
    wait_time = between(2, 4)

    @task(2)
    def report(self):
        answer = self.client.post("/api/v1/reports/usage", json=REPORT, headers=HEADERS, name="POST /reports/usage")
        if answer.status_code == 202:
            self.look_after(f"/api/v1/jobs/{answer.json()['job_id']}")

    def look_after(self, job):
        for _ in range(5):
            time.sleep(random.uniform(1, 2))
            answer = self.client.get(job, headers=HEADERS, name="GET /jobs/:id")
            status = answer.json().get("status") if answer.status_code == 200 else None
            if status == "completed":
                self.client.get(f"{job}/result", headers=HEADERS, name="GET /jobs/:id/result")
            if status in ("completed", "failed"):
                return

    @task(1)
    def recent(self):
        self.client.get("/api/v1/jobs?status=completed&limit=25", headers=HEADERS, name="GET /jobs")
