// What users of k6 do in the benchmark.
import http from 'k6/http';
import { check, sleep } from 'k6';

const url = __ENV.BENCH_URL;
const waits = __ENV.BENCH_JOURNEY === 'wait';

export const options = {
  insecureSkipTLSVerify: true,
  scenarios: {
    load: {
      executor: 'constant-vus',
      exec: __ENV.BENCH_JOURNEY,
      vus: Number(__ENV.BENCH_USERS),
      duration: `${__ENV.BENCH_SECONDS}s`,
      // Whoever waits would wait for an hour.
      gracefulStop: waits ? '0s' : '30s',
    },
  },
};

export function plain() {
  http.get(`${url}/`);
}

export function wait() {
  http.get(`${url}/`);
  sleep(3600);
}

let token;

export function journey() {
  if (token === undefined) {
    const credentials = JSON.stringify({ user: `load-${__VU}` });
    token = http.post(`${url}/login`, credentials, asked('login')).json('access_token');
  }
  const number = 1 + Math.floor(Math.random() * 1000);
  const id = http.get(`${url}/items/${number}`, asked('item')).json('id');
  const detail = http.get(`${url}/items/${id}/detail`, asked('detail'));
  check(detail, { 'the detail is there': (response) => response.status === 200 });
  const cart = http.post(`${url}/cart`, JSON.stringify({ id, quantity: 2 }), asked('cart'));
  check(cart, { 'a cart was made': (response) => response.status === 201 });
}

// The headers and the name of a request.
function asked(name) {
  const headers = { 'Content-Type': 'application/json' };
  if (token !== undefined) {
    headers.Authorization = `Bearer ${token}`;
  }
  return { headers, tags: { name } };
}

export function handleSummary({ metrics }) {
  const failed = metrics.http_req_failed.values.passes;
  const unmet = metrics.checks ? metrics.checks.values.fails : 0;
  return { stdout: JSON.stringify({ requests: metrics.http_reqs.values.count, failures: failed + unmet }) };
}
