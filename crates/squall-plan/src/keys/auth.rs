//! Keys of who asks.

use super::{Kind, Shape, key, required};

/// `auth`
pub static AUTH: Kind = Kind {
    name: "auth",
    doc: "How requests say who asks: one of these.",
    keys: &[
        key("bearer", Shape::Template, "A bearer token.", "\"{{ token }}\""),
        key("basic", Shape::Object(&BASIC), "A name and a password.", "{ user: ada, password: secret }"),
        key("api_key", Shape::Object(&API_KEY), "A key in a header.", "{ header: X-Api-Key, value: k1 }"),
        key(
            "oauth2",
            Shape::Object(&OAUTH2),
            "A token that generators get with a client's credentials, and get anew before it expires.",
            "{ token_url: /oauth/token, client_id: load, client_secret: \"{{ env.SECRET }}\" }",
        ),
        key(
            "aws",
            Shape::Object(&AWS),
            "A signature of AWS, version 4, over the whole request.",
            "{ service: execute-api, region: eu-central-1, access_key: \"{{ env.KEY }}\", secret_key: \"{{ env.SECRET }}\" }",
        ),
    ],
};

/// `auth.basic`
pub static BASIC: Kind = Kind {
    name: "basic",
    doc: "A name and a password.",
    keys: &[
        required("user", Shape::Template, "The name.", "ada"),
        required("password", Shape::Template, "The password.", "\"{{ env.PASSWORD }}\""),
    ],
};

/// `auth.api_key`
pub static API_KEY: Kind = Kind {
    name: "api_key",
    doc: "A key in a header.",
    keys: &[
        key("header", Shape::Text, "The header; `X-Api-Key` unless given.", "X-Api-Key"),
        required("value", Shape::Template, "The key.", "\"{{ env.API_KEY }}\""),
    ],
};

/// `auth.oauth2`
pub static OAUTH2: Kind = Kind {
    name: "oauth2",
    doc: "A client, and where it gets its tokens; each request for one is measured as `oauth2 token`.",
    keys: &[
        required(
            "token_url",
            Shape::Template,
            "Where tokens are: a path of the target, or a URL whose host `allow` has.",
            "/oauth/token",
        ),
        required("client_id", Shape::Template, "Who the client is.", "load-test"),
        required("client_secret", Shape::Template, "Its secret.", "\"{{ env.CLIENT_SECRET }}\""),
        key("scope", Shape::Template, "What the token is to be good for.", "\"orders:read orders:write\""),
        key(
            "audience",
            Shape::Template,
            "Whom the token is for, where a server wants to know.",
            "https://api.example.com",
        ),
        key(
            "credentials",
            Shape::Word(&OAUTH2_CREDENTIALS),
            "Where the client's id and secret are sent: in the header `Authorization`, unless given, or in the body.",
            "body",
        ),
    ],
};

/// `auth.oauth2.credentials`
pub const OAUTH2_CREDENTIALS: [&str; 2] = ["header", "body"];

/// `auth.aws`
pub static AWS: Kind = Kind {
    name: "aws",
    doc: "Who signs, and for which service.",
    keys: &[
        required("service", Shape::Text, "The service, as AWS calls it in signatures.", "execute-api"),
        required("region", Shape::Template, "The region.", "eu-central-1"),
        required(
            "access_key",
            Shape::Template,
            "The id of the access key.",
            "\"{{ env.AWS_ACCESS_KEY_ID }}\"",
        ),
        required(
            "secret_key",
            Shape::Template,
            "The secret part of the key.",
            "\"{{ env.AWS_SECRET_ACCESS_KEY }}\"",
        ),
        key(
            "session_token",
            Shape::Template,
            "The token of keys that are good for a while only.",
            "\"{{ env.AWS_SESSION_TOKEN }}\"",
        ),
    ],
};
