//! The service without its socket: what it answers, and how long that takes.

use std::time::Duration;

use serde_json::{Value, json};

const CATEGORIES: [&str; 4] = ["electronics", "appliances", "gaming", "books"];
const PRODUCTS: u64 = 240;

/// A request, as far as the service looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, without query.
    pub path: &'a str,
    /// The query, without `?`.
    pub query: &'a str,
}

/// What the service makes of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Under which name it is counted.
    pub route: &'static str,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// Half of these answers take longer.
    pub median: Duration,
}

/// Answers a request.
#[must_use]
pub fn answer(request: Request<'_>) -> Answer {
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let known = match path.as_slice() {
        ["healthz"] => Some(("GET /healthz", 1, ok(json!({ "status": "ok" })))),
        ["api", "v1", "catalog", "products"] => Some(("GET /catalog/products", 6, products(request.query))),
        ["api", "v1", "catalog", "products", sku] => Some(("GET /catalog/products/:sku", 3, product(sku))),
        ["api", "v1", "search"] => Some(("GET /search", 12, search(request.query))),
        _ => None,
    };
    let (route, median_ms, (status, body)) = match known {
        Some((route, median_ms, _)) if !["GET", "HEAD"].contains(&request.method) => {
            (route, median_ms, (405, json!({ "error": "method not allowed" })))
        }
        Some(known) => known,
        None => ("unknown", 1, (404, json!({ "error": "no such path" }))),
    };
    Answer { route, status, body, median: Duration::from_millis(median_ms) }
}

/// How long the `n`-th answer takes: log-normal around its median, with a long tail as services have.
#[must_use]
pub fn delay(median: Duration, seed: u64, n: u64) -> Duration {
    // The sum of twelve uniform numbers is nearly normal, with variance 1 around 6.
    let sum: f64 = (0..12).map(|draw| uniform(seed, n.wrapping_mul(12).wrapping_add(draw))).sum();
    median.mul_f64((0.35 * (sum - 6.0)).exp())
}

/// A number in 0..1 from a position, by the finaliser of `SplitMix64`.
fn uniform(seed: u64, position: u64) -> f64 {
    let mut z = seed ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn products(query: &str) -> (u16, Value) {
    let (page, limit) = (number(query, "page", 1), number(query, "limit", 20));
    let (Some(page @ 1..), Some(limit @ 1..=100)) = (page, limit) else {
        return (400, json!({ "error": "page must be at least 1, limit 1 to 100" }));
    };
    let category = parameter(query, "category");
    let matches = (0..PRODUCTS).filter(|n| category.is_none_or(|category| category_of(*n) == category));
    let total = matches.clone().count();
    let skip = usize::try_from((page - 1).saturating_mul(limit)).unwrap_or(usize::MAX);
    let take = usize::try_from(limit).unwrap_or(0);
    let items: Vec<Value> = matches.skip(skip).take(take).map(item).collect();
    ok(json!({ "items": items, "page": page, "limit": limit, "total": total }))
}

fn product(sku: &str) -> (u16, Value) {
    let number =
        sku.strip_prefix("SKU-").filter(|digits| digits.len() == 6).and_then(|digits| digits.parse().ok());
    match number {
        Some(number) => ok(item(number)),
        None => (404, json!({ "error": "no such product" })),
    }
}

fn search(query: &str) -> (u16, Value) {
    match parameter(query, "q") {
        Some(words) if !words.is_empty() => {
            let items: Vec<Value> = (0..words.len() as u64 % 7).map(|n| item(n * 31)).collect();
            ok(json!({ "query": words, "items": items }))
        }
        _ => (400, json!({ "error": "q is missing" })),
    }
}

fn item(number: u64) -> Value {
    json!({
        "sku": format!("SKU-{number:06}"),
        "category": category_of(number),
        "price": 5.0 + (number * 37 % 5_000) as f64 / 10.0,
        "in_stock": !number.is_multiple_of(9),
    })
}

fn category_of(number: u64) -> &'static str {
    CATEGORIES[usize::try_from(number % 4).unwrap_or(0)]
}

fn ok(body: Value) -> (u16, Value) {
    (200, body)
}

/// The value of a query parameter, as it is written.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// `None` if it is there and no number.
fn number(query: &str, name: &str, default: u64) -> Option<u64> {
    parameter(query, name).map_or(Some(default), |value| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, query: &str) -> Answer {
        answer(Request { method: "GET", path, query })
    }

    #[test]
    fn the_guides_requests_are_answered_under_the_guides_names() {
        let check = |path: &str, query: &str, route: &str, status: u16| {
            let answer = get(path, query);
            assert_eq!((answer.route, answer.status), (route, status), "{path}?{query}");
        };
        let catalog = "/api/v1/catalog/products";
        check(catalog, "category=electronics&page=1&limit=20", "GET /catalog/products", 200);
        check("/api/v1/catalog/products/SKU-104583", "", "GET /catalog/products/:sku", 200);
        check("/api/v1/search", "q=wireless+headphones&sort=relevance", "GET /search", 200);
        check("/healthz", "", "GET /healthz", 200);
        check(catalog, "limit=0", "GET /catalog/products", 400);
        check(catalog, "page=18446744073709551615&limit=100", "GET /catalog/products", 200);
        check("/api/v1/catalog/products/nonsense", "", "GET /catalog/products/:sku", 404);
        check("/elsewhere", "", "unknown", 404);
        assert_eq!(answer(Request { method: "POST", path: "/healthz", query: "" }).status, 405);
    }

    #[test]
    fn pages_and_categories_are_kept_apart() {
        let answer = get("/api/v1/catalog/products", "category=gaming&page=2&limit=20");
        let items = answer.body["items"].as_array().unwrap();
        assert_eq!(items.len(), 20);
        assert!(items.iter().all(|item| item["category"] == "gaming"));
        assert_eq!(answer.body["total"], 60);
    }

    #[test]
    fn delays_repeat_by_seed_and_spread_around_their_median() {
        let median = Duration::from_millis(10);
        let mut delays: Vec<Duration> = (0..2_001).map(|n| delay(median, 7, n)).collect();
        assert_eq!(delays[5], delay(median, 7, 5));
        assert_ne!(delays[5], delay(median, 8, 5));
        delays.sort();
        assert!((9.0..11.0).contains(&(delays[1_000].as_secs_f64() * 1_000.0)), "{:?}", delays[1_000]);
    }
}
