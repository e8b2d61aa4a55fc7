//! Carts and orders of users.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::catalog::number_of;
use crate::input::{Outcome, Refusal, text, wrong};
use crate::state::State;

/// A cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cart {
    owner: String,
    currency: String,
    /// The newest of them.
    items: VecDeque<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    sku: u32,
    quantity: u64,
}

/// Items of a cart that are kept.
const ITEMS: usize = 100;

/// `POST /cart`
pub(crate) fn create(user: &str, body: &Value, state: &mut State) -> Outcome {
    let currency = text(body, "/currency")?;
    if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
        return Err(wrong("/currency", "three capital letters"));
    }
    if body.get("region").is_some() {
        text(body, "/region")?;
    }
    let cart = Cart { owner: user.to_owned(), currency: currency.to_owned(), items: VecDeque::new() };
    Ok((201, json!({ "cart_id": state.carts.add(cart) })))
}

/// `GET /cart/:id`
pub(crate) fn show(user: &str, id: &str, state: &mut State) -> Outcome {
    let cart = cart_of(user, id, state)?;
    let items = cart.items.iter();
    let items: Vec<Value> = items
        .map(|item| json!({ "sku": format!("SKU-{:06}", item.sku), "quantity": item.quantity }))
        .collect();
    Ok((200, json!({ "cart_id": id, "currency": cart.currency, "items": items })))
}

/// `DELETE /cart/:id`
pub(crate) fn delete(user: &str, id: &str, state: &mut State) -> Outcome {
    cart_of(user, id, state)?;
    state.carts.remove(id);
    Ok((204, Value::Null))
}

/// `POST /cart/:id/items`
pub(crate) fn add_item(user: &str, id: &str, body: &Value, state: &mut State) -> Outcome {
    let sku = number_of(text(body, "/sku")?).ok_or_else(|| wrong("/sku", "SKU- and six digits"))?;
    let quantity = body.get("quantity").and_then(Value::as_u64);
    let quantity = quantity
        .filter(|quantity| (1..=99).contains(quantity))
        .ok_or_else(|| wrong("/quantity", "a whole number of 1 to 99"))?;
    let items = &mut cart_of(user, id, state)?.items;
    if items.len() == ITEMS {
        items.pop_front();
    }
    items.push_back(Item { sku, quantity });
    Ok((201, json!({ "cart_id": id, "items": items.len() })))
}

/// `POST /orders`. The cart stays: the guide's users go on with theirs.
pub(crate) fn order(user: &str, body: &Value, state: &mut State) -> Outcome {
    let id = text(body, "/cart_id")?;
    for at in ["type", "token"] {
        text(body, &format!("/payment_method/{at}"))?;
    }
    for at in ["first_name", "last_name", "line1", "city", "state", "postal_code", "country"] {
        text(body, &format!("/shipping_address/{at}"))?;
    }
    cart_of(user, id, state)?;
    Ok((201, json!({ "order_id": state.orders.add(()), "cart_id": id, "status": "accepted" })))
}

fn cart_of<'a>(user: &str, id: &str, state: &'a mut State) -> Result<&'a mut Cart, Refusal> {
    let cart = state.carts.get_mut(id).filter(|cart| cart.owner == user);
    cart.ok_or_else(|| Refusal::new(404, "no such cart"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Client, with};

    fn shopper() -> (Client, String) {
        let mut client = Client::default();
        client.authorization = Some(format!("Bearer {}", client.login()));
        let answer = client.post("/api/v1/cart", &json!({ "currency": "USD", "region": "us-east-1" }));
        assert_eq!((answer.route, answer.status), ("POST /cart", 201));
        let id = answer.body["cart_id"].as_str().unwrap().to_owned();
        (client, id)
    }

    fn order_of(cart: &str) -> Value {
        json!({
            "cart_id": cart,
            "payment_method": { "type": "card_token", "token": "tok_visa_test_4242" },
            "shipping_address": {
                "first_name": "Load", "last_name": "Tester", "line1": "100 Market Street",
                "city": "San Francisco", "state": "CA", "postal_code": "94105", "country": "US",
            },
        })
    }

    #[test]
    fn a_cart_is_filled_ordered_and_thrown_away() {
        let (mut client, id) = shopper();
        let url = format!("/api/v1/cart/{id}");
        let answer = client.post(&format!("{url}/items"), &json!({ "sku": "SKU-004583", "quantity": 2 }));
        assert_eq!((answer.route, answer.status), ("POST /cart/:id/items", 201));

        let answer = client.post("/api/v1/orders", &order_of(&id));
        assert_eq!((answer.route, answer.status), ("POST /orders", 201));
        assert!(answer.body["order_id"].as_str().unwrap().starts_with("order_"));

        let answer = client.get(&url);
        let items = json!([{ "sku": "SKU-004583", "quantity": 2 }]);
        assert_eq!((answer.route, answer.status), ("GET /cart/:id", 200));
        assert_eq!(answer.body, json!({ "cart_id": id, "currency": "USD", "items": items }));

        let answer = client.send("DELETE", &url, &[], "");
        assert_eq!((answer.route, answer.status, answer.body), ("DELETE /cart/:id", 204, Value::Null));
        assert_eq!(client.get(&url).status, 404);
        assert_eq!(client.send("DELETE", &url, &[], "").status, 404);
        assert_eq!(client.post("/api/v1/orders", &order_of(&id)).status, 404);
    }

    #[test]
    fn what_makes_no_cart_is_refused() {
        let (mut client, _) = shopper();
        let mut check = |body: Value, status: u16| {
            assert_eq!(client.post("/api/v1/cart", &body).status, status, "{body}");
        };
        check(json!({ "currency": "EUR" }), 201);
        check(json!({ "currency": "usd" }), 400);
        check(json!({ "currency": "US" }), 400);
        check(json!({ "currency": 840 }), 400);
        check(json!({ "currency": "USD", "region": "" }), 400);
        check(json!({ "currency": "USD", "region": null }), 400);
        check(json!({}), 400);
        check(json!([]), 400);
    }

    #[test]
    fn what_is_no_item_is_refused() {
        let (mut client, id) = shopper();
        let mut check = |cart: &str, sku: Value, quantity: Value, status: u16| {
            let body = json!({ "sku": sku, "quantity": quantity });
            let answer = client.post(&format!("/api/v1/cart/{cart}/items"), &body);
            assert_eq!(answer.status, status, "{cart}: {body}");
        };
        check(&id, json!("SKU-104583"), json!(1), 201);
        check(&id, json!("SKU-104583"), json!(99), 201);
        check(&id, json!("SKU-104583"), json!(0), 400);
        check(&id, json!("SKU-104583"), json!(100), 400);
        check(&id, json!("SKU-104583"), json!("1"), 400);
        check(&id, json!("SKU-104583"), json!(1.5), 400);
        check(&id, json!("SKU-104583"), Value::Null, 400);
        check(&id, json!("SKU-10458"), json!(1), 400);
        check(&id, json!("104583"), json!(1), 400);
        check(&id, Value::Null, json!(1), 400);
        check("cart_1", json!("SKU-104583"), json!(1), 404);
        check("", json!("SKU-104583"), json!(1), 404);
    }

    #[test]
    fn an_order_needs_every_field() {
        let (mut client, id) = shopper();
        let fields = [
            "/cart_id",
            "/payment_method",
            "/payment_method/type",
            "/payment_method/token",
            "/shipping_address",
            "/shipping_address/first_name",
            "/shipping_address/last_name",
            "/shipping_address/line1",
            "/shipping_address/city",
            "/shipping_address/state",
            "/shipping_address/postal_code",
            "/shipping_address/country",
        ];
        for field in fields {
            for value in [Value::Null, json!(""), json!(94_105)] {
                let body = with(&order_of(&id), field, value);
                assert_eq!(client.post("/api/v1/orders", &body).status, 400, "{body}");
            }
        }
        assert_eq!(client.post("/api/v1/orders", &order_of("cart_1")).status, 404);
    }

    #[test]
    fn a_cart_is_its_owners() {
        let (mut client, id) = shopper();
        client.authorization = Some(format!("Bearer {}", client.login_as("other@example.com")));
        let url = format!("/api/v1/cart/{id}");
        assert_eq!(client.get(&url).status, 404);
        assert_eq!(client.send("DELETE", &url, &[], "").status, 404);
        let item = json!({ "sku": "SKU-104583", "quantity": 1 });
        assert_eq!(client.post(&format!("{url}/items"), &item).status, 404);
        assert_eq!(client.post("/api/v1/orders", &order_of(&id)).status, 404);
    }

    #[test]
    fn a_cart_keeps_its_newest_items() {
        let (mut client, id) = shopper();
        for n in 0..=ITEMS {
            let item = json!({ "sku": format!("SKU-{n:06}"), "quantity": 1 });
            assert_eq!(client.post(&format!("/api/v1/cart/{id}/items"), &item).status, 201);
        }
        let cart = client.get(&format!("/api/v1/cart/{id}"));
        let items = cart.body["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["sku"]), (ITEMS, &json!("SKU-000001")));
    }
}
