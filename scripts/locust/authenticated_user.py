"""The second journey of docs/examples: authenticated.yaml."""

import random

from locust import HttpUser, between, task

ADDRESS = {
    "first_name": "Load", "last_name": "Tester", "line1": "100 Market Street", "city": "San Francisco", "state": "CA",
    "postal_code": "94105", "country": "US",
}


class Buyer(HttpUser):
    wait_time = between(1, 2)
    cart = None

    def on_start(self):
        who = {"email": "loadtest.user@example.com", "password": "Str0ngP@ssw0rd!", "client_id": "web-frontend"}
        answer = self.client.post("/api/v1/auth/login", json=who, name="POST /auth/login")
        self.own = {
            "Authorization": f"Bearer {answer.json()['access_token']}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }

    def send(self, url, body, name):
        return self.client.post(url, json=body, headers=self.own, name=name)

    @task(4)
    def browse(self):
        category = random.choice(["electronics", "appliances", "gaming"])
        url = f"/api/v1/catalog/products?category={category}&limit=12"
        self.client.get(url, headers=self.own, name="GET /catalog/products (auth)")

    @task(2)
    def new_cart(self):
        answer = self.send("/api/v1/cart", {"currency": "USD", "region": "us-east-1"}, "POST /cart")
        if answer.status_code == 201:
            self.cart = answer.json()["cart_id"]

    @task(3)
    def add_item(self):
        if self.cart:
            sku = random.choice(["SKU-104583", "SKU-204881", "SKU-998120"])
            item = {"sku": sku, "quantity": random.randint(1, 2)}
            self.send(f"/api/v1/cart/{self.cart}/items", item, "POST /cart/:id/items")

    @task(1)
    def order(self):
        if self.cart:
            payment = {"type": "card_token", "token": "tok_visa_test_4242"}
            order = {"cart_id": self.cart, "payment_method": payment, "shipping_address": ADDRESS}
            self.send("/api/v1/orders", order, "POST /orders")
