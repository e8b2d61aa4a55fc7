//! Who asks.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, Method};
use minijinja::Value;
use serde_json_path::JsonPath;

use crate::expression::{Template, UrlTemplate, ValueTemplate};
use crate::keys;
use crate::model::{
    Auth, AwsSignature, Body, Capture, Expect, Headers, LooksAt, Matches, OAuth2, OnFailure, Purpose,
    Request, SeriesName, Source,
};
use crate::yaml::Node;

use super::Lowering;
use super::fields::Fields;
use super::values::{HeaderList, Manner};

/// How a part of a plan says who asks.
pub(super) enum Who {
    /// By a header.
    Header(HeaderName, Template),
    /// By something that is made while it is sent: an index into [`Plan::auths`](crate::Plan::auths).
    Made(usize),
}

impl Manner {
    /// The manner of a part of what has this one: what it says itself counts.
    pub(super) fn within(&self, who: Option<Who>, own: HeaderList) -> Self {
        let mut inner = self.clone();
        match who {
            None => {}
            Some(Who::Header(name, value)) => {
                inner.auth = None;
                inner.headers.push((name, value));
            }
            Some(Who::Made(auth)) => {
                inner.auth = Some(auth);
                inner.headers.retain(|(name, _)| *name != AUTHORIZATION);
            }
        }
        if own.iter().any(|(name, _)| *name == AUTHORIZATION) {
            inner.auth = None;
        }
        inner.headers.extend(own);
        inner
    }
}

impl Lowering<'_> {
    pub(super) fn auth(&mut self, node: &Node) -> Option<Who> {
        let fields = self.fields(node, &keys::AUTH)?;
        let found = fields.present(&["bearer", "basic", "api_key", "oauth2", "aws"]);
        let [(kind, _)] = found.as_slice() else {
            let message = "`auth` is one of `bearer`, `basic`, `api_key`, `oauth2` and `aws`".to_owned();
            let span = found.get(1).map_or(node.span.clone(), |(_, key)| key.span.clone());
            self.error(span, "conflict", message, None);
            return None;
        };
        let value = fields.get(kind)?;
        self.within(kind, |this| match *kind {
            "bearer" => Some(Who::Header(AUTHORIZATION, this.template(value)?.after("Bearer "))),
            "basic" => this.basic(value).map(|value| Who::Header(AUTHORIZATION, value)),
            "api_key" => this.api_key(value).map(|(name, value)| Who::Header(name, value)),
            "oauth2" => this.oauth2(value).map(|oauth2| this.made(Auth::OAuth2(Box::new(oauth2)))),
            _ => this.aws(value).map(|aws| this.made(Auth::Aws(Box::new(aws)))),
        })
    }

    /// What stands in a fragment, and so comes back with each of its callers, is kept once.
    fn made(&mut self, auth: Auth) -> Who {
        let known = match &auth {
            Auth::OAuth2(auth) => self
                .auths
                .iter()
                .position(|known| matches!(known, Auth::OAuth2(known) if self.is_same(known, auth))),
            Auth::Aws(_) => None,
        };
        Who::Made(known.unwrap_or_else(|| {
            self.auths.push(auth);
            self.auths.len() - 1
        }))
    }

    fn is_same(&self, known: &OAuth2, other: &OAuth2) -> bool {
        let text = |template: &Template| template.to_expression(&self.program);
        let in_header = |auth: &OAuth2| auth.token.headers.has(&AUTHORIZATION);
        in_header(known) == in_header(other)
            && known.client.iter().zip(&other.client).all(|(known, other)| text(known) == text(other))
    }

    fn basic(&mut self, node: &Node) -> Option<Template> {
        let fields = self.fields(node, &keys::BASIC)?;
        let user = self.optional(&fields, "user", Self::template);
        let password = self.optional(&fields, "password", Self::template);
        let (user, password) = (user?, password?);
        let source = |this: &Self, template: &Template| template.to_expression(&this.program);
        let pair = format!("{} ~ ':' ~ {}", source(self, &user), source(self, &password));
        Some(self.made_expression(node, &format!("({pair}) | base64"))?.after("Basic "))
    }

    fn api_key(&mut self, node: &Node) -> Option<(HeaderName, Template)> {
        let fields = self.fields(node, &keys::API_KEY)?;
        let header = self.optional(&fields, "header", |this, node| {
            let text = this.text(node)?;
            let header = HeaderName::from_bytes(text.as_bytes());
            if header.is_err() {
                this.error(node.span.clone(), "bad-header", format!("`{text}` is no header name"), None);
            }
            header.ok()
        });
        let value = self.optional(&fields, "value", Self::template)?;
        Some((header.unwrap_or(HeaderName::from_static("x-api-key")), value))
    }

    fn oauth2(&mut self, node: &Node) -> Option<OAuth2> {
        let fields = self.fields(node, &keys::OAUTH2)?;
        let url = self.optional(&fields, "token_url", Self::url);
        let id = self.optional(&fields, "client_id", Self::template);
        let secret = self.optional(&fields, "client_secret", Self::template);
        let scope = self.optional(&fields, "scope", Self::template);
        let audience = self.optional(&fields, "audience", Self::template);
        let place =
            self.optional(&fields, "credentials", |this, node| this.word(node, &keys::OAUTH2_CREDENTIALS));
        let (url, id, secret) = (url?, id?, secret?);
        let or_none = |template: &Option<Template>| template.clone().unwrap_or(Template::literal(""));
        let client =
            [url.template().clone(), id.clone(), secret.clone(), or_none(&scope), or_none(&audience)];
        let expressions = client.iter().flat_map(Template::expressions);
        let is_shared = expressions.into_iter().all(|expr| self.is_constant(expr));
        let mut form = vec![("grant_type".to_owned(), Template::literal("client_credentials"))];
        form.extend(scope.map(|scope| ("scope".to_owned(), scope)));
        form.extend(audience.map(|audience| ("audience".to_owned(), audience)));
        let mut headers = Headers::default();
        if place == Some("body") {
            form.extend([("client_id".to_owned(), id), ("client_secret".to_owned(), secret)]);
        } else {
            // Both are encoded as in a form before they are put together (RFC 6749, section 2.3.1).
            let encoded =
                |template: &Template| format!("(({}) | urlencode)", template.to_expression(&self.program));
            let pair = format!("({} ~ ':' ~ {}) | base64", encoded(&id), encoded(&secret));
            headers.set(&AUTHORIZATION, &self.made_expression(node, &pair)?.after("Basic "));
        }
        let token = self.token_request(&fields, url, headers, &form)?;
        Some(OAuth2 { client, is_shared, token })
    }

    /// The request for a token.
    fn token_request(
        &mut self,
        fields: &Fields<'_>,
        url: UrlTemplate,
        mut headers: Headers,
        form: &[(String, Template)],
    ) -> Option<Request> {
        headers.set(&ACCEPT, &Template::literal("application/json"));
        headers.set(&CONTENT_TYPE, &Template::literal("application/x-www-form-urlencoded"));
        let capture = |variable: &str, default: Option<&str>| {
            let source = Source::Json(JsonPath::parse(&format!("$.{variable}")).ok()?);
            let default = default.map(|default| ValueTemplate::Constant(Value::from(default)));
            Some(Capture { variable: variable.to_owned(), source, matches: Matches::First, default })
        };
        let captures = [
            capture(OAuth2::TOKEN, None),
            capture(OAuth2::KIND, Some("Bearer")),
            capture(OAuth2::SECONDS, Some("")),
        ];
        let name = SeriesName {
            scenario: String::new(),
            endpoint: OAuth2::NAME.to_owned(),
            tags: self.tags.clone(),
            purpose: Purpose::Before,
        };
        Some(Request {
            series: self.series(name, fields),
            method: Method::POST,
            url,
            fixed_path: None,
            headers,
            own_agent: false,
            auth: None,
            body: Body::Form(UrlTemplate::form(form)),
            compress: None,
            timeout: None,
            // What leads elsewhere is no answer to a secret.
            follow_redirects: Some(0),
            retry: None,
            expect: Expect { status: vec![200..=299], checks: Vec::new() },
            captures: captures.into_iter().collect::<Option<_>>()?,
            looks_at: LooksAt { headers: true, body: true },
            cleanup: None,
            on_failure: OnFailure::Continue,
        })
    }

    fn aws(&mut self, node: &Node) -> Option<AwsSignature> {
        let fields = self.fields(node, &keys::AWS)?;
        let service = self.optional(&fields, "service", Self::text);
        let region = self.optional(&fields, "region", Self::template);
        let access_key = self.optional(&fields, "access_key", Self::template);
        let secret_key = self.optional(&fields, "secret_key", Self::template);
        let session_token = self.optional(&fields, "session_token", Self::template);
        let (service, region, access_key, secret_key) = (service?, region?, access_key?, secret_key?);
        Some(AwsSignature { service, region, access_key, secret_key, session_token })
    }
}
