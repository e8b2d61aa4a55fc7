//! The shop: products that follow from their numbers.

use serde_json::{Value, json};

use crate::input::{Outcome, Refusal, limit, number, parameter};

const CATEGORIES: [&str; 4] = ["electronics", "appliances", "gaming", "books"];
const PRODUCTS: u64 = 240;

pub(crate) fn products(query: &str) -> Outcome {
    let (page, limit) = (number(query, "page", 1)?, limit(query, 20)?);
    let category = parameter(query, "category");
    let matches = (0..PRODUCTS).filter(|n| category.is_none_or(|category| category_of(*n) == category));
    let total = matches.clone().count();
    let skip = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(limit);
    let items: Vec<Value> = matches.skip(skip).take(limit).map(item).collect();
    Ok((200, json!({ "items": items, "page": page, "limit": limit, "total": total })))
}

pub(crate) fn product(sku: &str) -> Outcome {
    let number = number_of(sku).ok_or_else(|| Refusal::new(404, "no such product"))?;
    Ok((200, item(number.into())))
}

pub(crate) fn search(query: &str) -> Outcome {
    match parameter(query, "q") {
        Some(words) if !words.is_empty() => {
            let items: Vec<Value> = (0..words.len() as u64 % 7).map(|n| item(n * 31)).collect();
            Ok((200, json!({ "query": words, "items": items })))
        }
        _ => Err(Refusal::bad("`q` is missing")),
    }
}

/// The number in a SKU, which is `SKU-` and six digits.
pub(crate) fn number_of(sku: &str) -> Option<u32> {
    let digits = sku.strip_prefix("SKU-")?;
    let is_number = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
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

#[cfg(test)]
mod tests {
    use crate::auth::API_KEY;
    use crate::testing::Client;

    const PRODUCTS: &str = "/api/v1/catalog/products";

    #[test]
    fn the_shop_is_open_and_refuses_what_makes_no_sense() {
        let mut client = Client::default();
        let mut check = |url: &str, status: u16| {
            assert_eq!(client.get(url).status, status, "{url}");
        };
        check("/healthz", 200);
        check(PRODUCTS, 200);
        check(&format!("{PRODUCTS}?category=electronics&page=1&limit=20"), 200);
        check(&format!("{PRODUCTS}?page=18446744073709551615&limit=100"), 200);
        check(&format!("{PRODUCTS}?limit=0"), 400);
        check(&format!("{PRODUCTS}?limit=101"), 400);
        check(&format!("{PRODUCTS}?page=0"), 400);
        check(&format!("{PRODUCTS}?page=one"), 400);
        check(&format!("{PRODUCTS}/SKU-104583"), 200);
        check(&format!("{PRODUCTS}/SKU-10458"), 404);
        check(&format!("{PRODUCTS}/SKU-+04583"), 404);
        check(&format!("{PRODUCTS}/nonsense"), 404);
        check(&format!("{PRODUCTS}/"), 404);
        check("/api/v1/search?q=wireless+headphones&sort=relevance", 200);
        check("/api/v1/search?q=", 400);
        check("/api/v1/search", 400);
    }

    #[test]
    fn whoever_shows_who_they_are_in_the_shop_must_be_known() {
        let mut client = Client::default();
        let token = client.login();
        let mut check = |authorization: &str, status: u16| {
            for url in [PRODUCTS, "/api/v1/catalog/products/SKU-104583", "/api/v1/search?q=x"] {
                let answer = client.send("GET", url, &[("authorization", authorization)], "");
                assert_eq!(answer.status, status, "{authorization} for {url}");
            }
        };
        check(&format!("Bearer {token}"), 200);
        check(&format!("Api-Key {API_KEY}"), 200);
        check("Bearer nonsense", 401);
        check("Api-Key nonsense", 401);
        check(&format!("Basic {token}"), 401);
        check("", 401);

        let answer = client.send("GET", PRODUCTS, &[("authorization", &format!("Bearer {token}"))], "");
        assert_eq!(answer.route, "GET /catalog/products (auth)");
        assert_eq!(client.get(PRODUCTS).route, "GET /catalog/products");
    }

    #[test]
    fn pages_and_categories_are_kept_apart() {
        let answer = Client::default().get("/api/v1/catalog/products?category=gaming&page=2&limit=20");
        let items = answer.body["items"].as_array().unwrap();
        assert_eq!(items.len(), 20);
        assert!(items.iter().all(|item| item["category"] == "gaming"));
        assert_eq!(answer.body["total"], 60);
    }
}
