"""The target: nginx, which costs as little as possible and answers everything by itself."""

import os
import socket
import subprocess
import time

from .machine import TARGETS_CPU, debian, free_port, pinned

BODY = '{"status":"ok","items":[1,2,3,4,5,6,7,8,9],"next":"/page2","n":1}'
TOKEN = "t0ken-123"

# A certificate that is its own authority must say that it is none for others, or clients refuse it as a server's.
CERTIFICATE = """
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = squall bench
[extensions]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1
"""

# The journey is answered only to those who follow it: who has the token, and has read the item's name.
LOCATIONS = f"""
location / {{ return 200 '{BODY}'; }}
location = /login {{ return 200 '{{"access_token":"{TOKEN}"}}'; }}
location /items/ {{
    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
    return 200 '{{"id":"item-7","price":12.5}}';
}}
location ~ ^/items/.*/detail$ {{ return 404; }}
location = /items/item-7/detail {{
    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
    return 200 '{{"id":"item-7","text":"The seventh item."}}';
}}
location = /cart {{
    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
    return 201 '{{"cart":"cart-1"}}';
}}
location = /api/v1/auth/login {{ return 200 '{{"access_token":"{TOKEN}"}}'; }}
location /api/v1/ {{ return 404; }}
location = /api/v1/catalog/products {{
    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
    return 200 '{BODY}';
}}
location = /api/v1/cart {{
    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
    return 201 '{{"cart_id":"cart-1"}}';
}}
location = /api/v1/cart/cart-1/items {{
    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
    return 201 '{{"items":1}}';
}}
location = /api/v1/orders {{
    if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
    return 201 '{{"order_id":"order-1"}}';
}}
"""


class Nginx:
    """One worker on the targets' processor, with a port for each way to speak to it."""

    def __init__(self, folder, connections=16384):
        self.folder = folder
        self.connections = connections
        self.certificate = os.path.join(folder, "certificate.pem")
        self.ports = {way: free_port() for way in ("http", "h2c", "tls", "http2")}

    def url(self, way):
        """Where it is by `http`, `h2c` (HTTP/2 without TLS), `tls` (HTTP/1.1) or `http2` (with TLS)."""
        scheme = "https" if way in ("tls", "http2") else "http"
        return f"{scheme}://127.0.0.1:{self.ports[way]}"

    def __enter__(self):
        debian("nginx", "nginx-light")
        debian("openssl", "openssl")
        self._certify()
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w") as file:
            file.write(self._config())
        command = pinned(TARGETS_CPU, ["nginx", "-c", path, "-p", self.folder])
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.ports["http"]), 0.1).close()
                return self
            except OSError:
                time.sleep(0.02)
        self.__exit__()
        raise RuntimeError("nginx did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def _certify(self):
        config = os.path.join(self.folder, "openssl.cnf")
        with open(config, "w") as file:
            file.write(CERTIFICATE)
        subprocess.check_call(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-config", config, "-keyout", self._key(), "-out", self.certificate],
            stderr=subprocess.DEVNULL,
        )

    def _key(self):
        return os.path.join(self.folder, "key.pem")

    def _config(self):
        folder, ports = self.folder, self.ports
        return f"""
            daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
            events {{ worker_connections {self.connections}; }}
            worker_rlimit_nofile {2 * self.connections};
            http {{
                access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
                client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
                fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
                ssl_certificate {self.certificate}; ssl_certificate_key {self._key()};
                server {{
                    listen 127.0.0.1:{ports["http"]} backlog=8192;
                    listen 127.0.0.1:{ports["h2c"]} http2;
                    listen 127.0.0.1:{ports["tls"]} ssl;
                    listen 127.0.0.1:{ports["http2"]} ssl http2;
                    default_type application/json;
                    {LOCATIONS}
                }}
            }}"""
