"""What users of Locust do in the benchmark, with either of its clients."""

import os
import random

import urllib3
from locust import FastHttpUser, HttpUser, constant

JOURNEY = os.environ["BENCH_JOURNEY"]
CLIENT = {"fast": FastHttpUser, "requests": HttpUser}[os.environ["BENCH_CLIENT"]]

# Otherwise a warning would be made for each request to a certificate that nobody signed.
urllib3.disable_warnings()


def get(user):
    user.client.get("/")


def buy(user):
    number = random.randint(1, 1000)
    item = user.client.get(f"/items/{number}", name="item", headers=user.headers).json()["id"]
    detail = user.client.get(f"/items/{item}/detail", name="detail", headers=user.headers, catch_response=True)
    expect(detail, 200)
    order = {"id": item, "quantity": 2}
    cart = user.client.post("/cart", json=order, name="cart", headers=user.headers, catch_response=True)
    expect(cart, 201)


def expect(response, status):
    with response:
        if response.status_code != status:
            response.failure(f"status {response.status_code}")


class Visitor(CLIENT):
    tasks = [buy if JOURNEY == "journey" else get]
    wait_time = constant(3600 if JOURNEY == "wait" else 0)

    def on_start(self):
        if CLIENT is HttpUser:
            self.client.verify = False
        if JOURNEY == "journey":
            token = self.client.post("/login", json={"user": "load"}).json()["access_token"]
            self.headers = {"Authorization": f"Bearer {token}"}
