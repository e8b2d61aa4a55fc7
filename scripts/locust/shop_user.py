"""The first journey of docs/examples: shop.yaml."""

from locust import HttpUser, between, task

HEADERS = {"Accept": "application/json", "User-Agent": "LoadForge-Locust/CloudNativeShop"}


class Visitor(HttpUser):
    wait_time = between(1, 3)

    def read(self, url, name):
        self.client.get(url, headers=HEADERS, name=name)

    @task(5)
    def products(self):
        self.read("/api/v1/catalog/products?category=electronics&page=1&limit=20", "GET /catalog/products")

    @task(3)
    def product(self):
        self.read("/api/v1/catalog/products/SKU-104583", "GET /catalog/products/:sku")

    @task(1)
    def search(self):
        self.read("/api/v1/search?q=wireless+headphones&sort=relevance", "GET /search")

    @task(1)
    def health(self):
        self.read("/healthz", "GET /healthz")
