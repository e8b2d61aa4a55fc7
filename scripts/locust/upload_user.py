"""The fourth journey of docs/examples: uploads.yaml."""

import uuid

from locust import HttpUser, between, task

HEADERS = {"x-api-key": "demo-serverless-key-123456", "Accept": "application/json"}
ROWS = b"invoice_id,customer_id,amount,currency\nINV-1001,CUST-501,149.99,USD\nINV-1002,CUST-884,89.50,USD\n"


class Uploader(HttpUser):
    wait_time = between(1, 3)

    @task(2)
    def upload(self):
        name = f"invoice-{uuid.uuid4()}.csv"
        wish = {"file_name": name, "content_type": "text/csv", "document_type": "invoice_batch"}
        answer = self.client.post("/api/v1/uploads/presign", json=wish, headers=HEADERS, name="POST /uploads/presign")
        if answer.status_code != 200:
            return
        place = answer.json()
        self.client.post(
            place["upload_url"], files={"file": (name, ROWS, "text/csv")}, name="POST object-storage upload",
        )
        work = {
            "file_id": place["file_id"],
            "pipeline": "invoice-extraction-v2",
            "notify_webhook": "https://webhooks.example.com/loadtest/result",
        }
        self.client.post("/api/v1/documents/process", json=work, headers=HEADERS, name="POST /documents/process")

    @task(1)
    def state(self):
        self.client.get("/api/v1/documents?status=processing&limit=10", headers=HEADERS, name="GET /documents")
