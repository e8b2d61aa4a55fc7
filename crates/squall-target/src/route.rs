//! What the service knows: paths, methods, names, and who may ask.

use std::time::Duration;

use Guard::{ApiKey, Open, Shop, UploadKey, User};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Health,
    Products,
    Product,
    Search,
    Login,
    Refresh,
    CreateCart,
    Cart,
    DeleteCart,
    AddItem,
    Order,
    Report,
    Jobs,
    Job,
    JobResult,
    Presign,
    Store,
    Process,
    Documents,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Everybody.
    Open,
    /// Everybody; but whoever says who they are must be known.
    Shop,
    /// Whoever has logged in.
    User,
    /// Whoever has the key of the API.
    ApiKey,
    /// Whoever has the key for uploads.
    UploadKey,
}

/// A route, as it is known to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) route: Route,
    pub(crate) method: &'static str,
    /// With a `:` before the part that may be anything.
    pub(crate) path: &'static str,
    /// Under which name it is counted: the guide's.
    pub(crate) name: &'static str,
    pub(crate) guard: Guard,
    median_ms: u64,
}

impl Row {
    /// Half of its answers take longer.
    pub(crate) fn median(&self) -> Duration {
        Duration::from_millis(self.median_ms)
    }
}

const fn row(
    route: Route,
    (method, path): (&'static str, &'static str),
    name: &'static str,
    guard: Guard,
    median_ms: u64,
) -> Row {
    Row { route, method, path, name, guard, median_ms }
}

pub(crate) static ROUTES: [Row; 19] = [
    row(Route::Health, ("GET", "/healthz"), "GET /healthz", Open, 1),
    row(Route::Products, ("GET", "/api/v1/catalog/products"), "GET /catalog/products", Shop, 6),
    row(Route::Product, ("GET", "/api/v1/catalog/products/:sku"), "GET /catalog/products/:sku", Shop, 3),
    row(Route::Search, ("GET", "/api/v1/search"), "GET /search", Shop, 12),
    row(Route::Login, ("POST", "/api/v1/auth/login"), "POST /auth/login", Open, 25),
    row(Route::Refresh, ("POST", "/api/v1/auth/refresh"), "POST /auth/refresh", Open, 10),
    row(Route::CreateCart, ("POST", "/api/v1/cart"), "POST /cart", User, 8),
    row(Route::Cart, ("GET", "/api/v1/cart/:id"), "GET /cart/:id", User, 8),
    row(Route::DeleteCart, ("DELETE", "/api/v1/cart/:id"), "DELETE /cart/:id", User, 8),
    row(Route::AddItem, ("POST", "/api/v1/cart/:id/items"), "POST /cart/:id/items", User, 9),
    row(Route::Order, ("POST", "/api/v1/orders"), "POST /orders", User, 35),
    row(Route::Report, ("POST", "/api/v1/reports/usage"), "POST /reports/usage", ApiKey, 15),
    row(Route::Jobs, ("GET", "/api/v1/jobs"), "GET /jobs", ApiKey, 4),
    row(Route::Job, ("GET", "/api/v1/jobs/:id"), "GET /jobs/:id", ApiKey, 4),
    row(Route::JobResult, ("GET", "/api/v1/jobs/:id/result"), "GET /jobs/:id/result", ApiKey, 10),
    row(Route::Presign, ("POST", "/api/v1/uploads/presign"), "POST /uploads/presign", UploadKey, 7),
    row(Route::Store, ("POST", "/storage/uploads/:id"), "POST object-storage upload", Open, 20),
    row(Route::Process, ("POST", "/api/v1/documents/process"), "POST /documents/process", UploadKey, 12),
    row(Route::Documents, ("GET", "/api/v1/documents"), "GET /documents", UploadKey, 8),
];

/// What a method and a path mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A route, and the part of the path that may be anything.
    Route(&'static Row, &'a str),
    /// The path is known with other methods; this is the first of its routes.
    WrongMethod(&'static Row),
    Unknown,
}

pub(crate) fn find<'a>(method: &str, path: &'a str) -> Found<'a> {
    let mut of_path = ROUTES.iter().filter_map(|row| Some((row, part_of(path, row.path)?)));
    let Some((first, id)) = of_path.next() else { return Found::Unknown };
    let takes = |row: &Row| row.method == method || (row.method, method) == ("GET", "HEAD");
    if takes(first) {
        return Found::Route(first, id);
    }
    match of_path.find(|(row, _)| takes(row)) {
        Some((row, id)) => Found::Route(row, id),
        None => Found::WrongMethod(first),
    }
}

/// The methods of a row's path, as `Allow` lists them.
pub(crate) fn methods(of: &Row) -> String {
    let rows = ROUTES.iter().filter(|row| row.path == of.path);
    let methods = rows.map(|row| if row.method == "GET" { "GET, HEAD" } else { row.method });
    methods.collect::<Vec<_>>().join(", ")
}

/// The part of a path that may be anything, if the path is of this form.
fn part_of<'a>(path: &'a str, form: &str) -> Option<&'a str> {
    let (mut any, mut parts) = ("", path.split('/'));
    for expected in form.split('/') {
        let part = parts.next()?;
        if expected.starts_with(':') {
            any = part;
        } else if part != expected {
            return None;
        }
    }
    parts.next().is_none().then_some(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_method_and_path() {
        for row in &ROUTES {
            let (path, id) = match row.path.split_once(':') {
                Some((before, after)) => {
                    let rest = after.split_once('/').map_or(String::new(), |(_, rest)| format!("/{rest}"));
                    (format!("{before}a-1{rest}"), "a-1")
                }
                None => (row.path.to_owned(), ""),
            };
            assert_eq!(find(row.method, &path), Found::Route(row, id));
            assert!(matches!(find("PUT", &path), Found::WrongMethod(_)), "{path}");
            assert_eq!(find(row.method, &format!("{path}/more/than/that")), Found::Unknown);
        }
    }

    #[test]
    fn a_path_lists_its_methods() {
        let check = |path: &str, expected: &str| match find("PATCH", path) {
            Found::WrongMethod(row) => assert_eq!(methods(row), expected, "{path}"),
            other => panic!("{other:?}"),
        };
        check("/healthz", "GET, HEAD");
        check("/api/v1/cart", "POST");
        check("/api/v1/cart/a", "GET, HEAD, DELETE");
        assert_eq!(find("GET", "/elsewhere"), Found::Unknown);
        assert!(matches!(find("HEAD", "/healthz"), Found::Route(..)));
    }
}
