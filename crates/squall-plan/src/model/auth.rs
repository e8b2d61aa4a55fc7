//! Who asks, where more is needed to say it than a header of the plan.

use crate::expression::Template;

use super::Request;

/// How requests say who asks.
#[derive(Debug)]
pub enum Auth {
    /// By a token that the generator gets with a client's credentials (RFC 6749, section 4.4).
    OAuth2(Box<OAuth2>),
    /// By a signature of AWS, version 4.
    Aws(Box<AwsSignature>),
}

/// A token, got with a client's credentials. Each thread of a generator gets its own and gets the next one before it
/// expires; all of its users share it. That request is measured as any other, under [`OAuth2::NAME`], the tags of the plan and no scenario.
#[derive(Debug)]
pub struct OAuth2 {
    /// What tells clients apart: who has the same of these has the same token.
    pub client: [Template; 5],
    /// Whether that is the same for all users, and so known before there are any.
    pub is_shared: bool,
    /// The request for a token, which captures what the constants below name.
    pub token: Request,
}

impl OAuth2 {
    /// The name of requests for tokens.
    pub const NAME: &'static str = "oauth2 token";
    /// The variable that is the token.
    pub const TOKEN: &'static str = "access_token";
    /// The variable that says what kind of token it is, if the server does.
    pub const KIND: &'static str = "token_type";
    /// The variable that says for how many seconds it is good, if the server does.
    pub const SECONDS: &'static str = "expires_in";
}

/// What a signature of AWS is made of, besides the request.
#[derive(Debug)]
pub struct AwsSignature {
    /// The service, as AWS calls it in signatures.
    pub service: String,
    /// The region.
    pub region: Template,
    /// The id of the access key.
    pub access_key: Template,
    /// The secret part of the key.
    pub secret_key: Template,
    /// The token of keys that are good for a while only.
    pub session_token: Option<Template>,
}
