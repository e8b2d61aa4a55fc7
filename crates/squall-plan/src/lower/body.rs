//! What a request sends.

use sha2::{Digest, Sha256};

use crate::expression::{JsonTemplate, Template, UrlTemplate};
use crate::keys;
use crate::model::{Body, Content, Multipart, Part};
use crate::yaml::Node;

use super::Lowering;

impl Lowering<'_> {
    /// The body under a key, and its content type where that is known.
    pub(super) fn body(&mut self, kind: &str, node: &Node) -> Option<(Body, Option<String>)> {
        Some(match kind {
            "json" => {
                let json = self.json(node)?;
                (Body::Json(JsonTemplate::new(&json)), Some("application/json".to_owned()))
            }
            "form" => {
                let form = UrlTemplate::form(&self.templates(node));
                (Body::Form(form), Some("application/x-www-form-urlencoded".to_owned()))
            }
            "multipart" => {
                let multipart = self.multipart(node);
                let content_type = format!("multipart/form-data; boundary={}", multipart.boundary);
                (Body::Multipart(multipart), Some(content_type))
            }
            "body_file" => (Body::Bytes(self.file(node)?.1), None),
            "raw" => (Body::Text(Template::literal(self.text(node)?)), None),
            _ => (Body::Text(self.template(node)?), None),
        })
    }

    fn multipart(&mut self, node: &Node) -> Multipart {
        let mut parts = Vec::new();
        for (name, key, value) in self.entries(node) {
            if name.contains(['"', '\r', '\n']) {
                let message = format!("`{name}` cannot be the name of a part");
                self.error(key.span.clone(), "name", message, None);
            }
            parts.extend(self.within(name, |this| this.part(name, value)));
        }
        // Of the plan's text, so that it is always the same and is in nothing that is sent.
        let boundary = format!("squall-{}", &hex::encode(Sha256::digest(&self.bundle.text))[..24]);
        Multipart { boundary, parts }
    }

    fn part(&mut self, name: &str, node: &Node) -> Option<Part> {
        let name = name.to_owned();
        let fields = match self.fields_or_text(node, &keys::MULTIPART_PART)? {
            Err(text) => {
                return Some(Part { name, filename: None, content_type: None, content: Content::Text(text) });
            }
            Ok(fields) => fields,
        };
        let filename = self.optional(&fields, "filename", Self::template);
        let content_type = self.optional(&fields, "type", Self::template);
        let found = fields.present(&["content", "file"]);
        let content = if let [(kind, _)] = found.as_slice() {
            let value = fields.get(kind)?;
            self.within(kind, |this| match *kind {
                "file" => this.file(value).map(|(_, bytes)| Content::Bytes(bytes)),
                _ => this.template(value).map(Content::Text),
            })
        } else {
            let message = "a part has one of `content` and `file`".to_owned();
            let span = found.get(1).map_or(node.span.clone(), |(_, key)| key.span.clone());
            self.error(span, "conflict", message, None);
            None
        };
        for (key, template) in [("filename", &filename), ("type", &content_type)] {
            if template.as_ref().is_some_and(|template| !Self::is_header_value(template)) {
                let message = format!("`{key}` has a character that no header may have");
                self.error(node.span.clone(), "bad-header", message, None);
            }
        }
        Some(Part { name, filename, content_type, content: content? })
    }
}
