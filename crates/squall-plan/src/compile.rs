//! From a bundle (a plan's text and what it may know of the outside) to a [`Plan`].

use std::collections::BTreeMap;
use std::str;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::diagnostics::Diagnostics;
use crate::model::Plan;
use crate::units::Rate;
use crate::{include, lower};

/// More files than this are not read.
const MAX_FILES: usize = 1_000;

/// Everything that a plan is made of. A generator gets the bundle, not the plan, and compiles it itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Where the text came from, for messages.
    pub file: String,
    /// The YAML.
    pub text: String,
    /// What the command adds.
    pub inputs: Inputs,
    /// The files that the text mentions, or why they cannot be read.
    #[serde(default, with = "files")]
    pub files: BTreeMap<String, Result<Bytes, String>>,
}

/// What a plan may know of the outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Environment variables of the command. Only those the plan mentions are kept in a bundle.
    pub env: BTreeMap<String, String>,
    /// Whether those are all that the command has.
    #[serde(skip)]
    pub has_whole_env: bool,
    /// `--var k=v`.
    pub variables: BTreeMap<String, String>,
    /// What `setup` has captured and set.
    #[serde(default)]
    pub setup: BTreeMap<String, serde_json::Value>,
    /// `--target URL`.
    pub target: Option<String>,
    /// `--users N | --rate R` with `--duration D`.
    pub load: Option<LoadOverride>,
}

/// A constant profile that replaces the plan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadOverride {
    /// `--users N --duration D`.
    Users {
        /// How many.
        users: u32,
        /// For how long.
        duration: Duration,
    },
    /// `--rate R --duration D`.
    Rate {
        /// Arrivals.
        rate: Rate,
        /// For how long.
        duration: Duration,
        /// Whatever the plan says, by no fewer and no more users than these.
        within_users: Option<(u32, u32)>,
    },
}

/// A plan without mistakes, and what is worth saying about it all the same.
#[derive(Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// Never contains an error.
    pub warnings: Diagnostics,
}

impl Bundle {
    /// The bundle of a plan's text.
    #[must_use]
    pub fn new(file: impl Into<String>, text: impl Into<String>, inputs: Inputs) -> Self {
        Self { file: file.into(), text: text.into(), inputs, files: BTreeMap::new() }
    }

    /// The same bundle with the files that its text mentions, and those that the texts it includes mention.
    #[must_use]
    pub fn with_files(mut self, read: impl Fn(&str) -> Result<Vec<u8>, String>) -> Self {
        let mut wanted = lower::files_of(&self.text);
        while let Some(file) = wanted.pop() {
            if self.files.contains_key(&file.name) || self.files.len() == MAX_FILES {
                continue;
            }
            let content = read(&file.name).map(Bytes::from);
            if let (true, Ok(bytes)) = (file.is_included, &content) {
                wanted.extend(str::from_utf8(bytes).map(lower::files_of).unwrap_or_default());
            }
            self.files.insert(file.name, content);
        }
        self
    }

    /// The same bundle without the environment variables that the plan does not mention.
    #[must_use]
    pub fn narrowed_to(mut self, plan: &Plan) -> Self {
        self.inputs.env.retain(|name, _| plan.env.contains_key(name));
        self.inputs.has_whole_env = false;
        self.files.retain(|_, content| content.is_ok());
        self
    }

    /// The bundle as JSON; the same bundle gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts, numbers and maps with text keys always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// SHA-256 of [`to_bytes`](Self::to_bytes), in hexadecimal: the bundle's name.
    #[must_use]
    pub fn sha256(&self) -> String {
        Self::sha256_of(&self.to_bytes())
    }

    /// The name of the bundle that is written as these bytes.
    #[must_use]
    pub fn sha256_of(bytes: &[u8]) -> String {
        hex::encode(Sha256::digest(bytes))
    }
}

/// Files as they travel: in base 64, and only those that could be read. They may be large, so their text is never there
/// beside the bundle's.
mod files {
    use std::collections::BTreeMap;
    use std::fmt;

    use base64::Engine;
    use base64::display::Base64Display;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::de::{Error, Visitor};
    use serde::{Deserialize, Deserializer, Serializer};

    type Files = BTreeMap<String, Result<Bytes, String>>;

    pub(super) fn serialize<S: Serializer>(files: &Files, serializer: S) -> Result<S::Ok, S::Error> {
        let readable = files.iter().filter_map(|(name, content)| Some((name, content.as_ref().ok()?)));
        serializer.collect_map(readable.map(|(name, bytes)| (name, Written(bytes))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Files, D::Error> {
        let files = BTreeMap::<String, Read>::deserialize(deserializer)?;
        Ok(files.into_iter().map(|(name, Read(bytes))| (name, Ok(bytes))).collect())
    }

    struct Written<'a>(&'a Bytes);

    impl serde::Serialize for Written<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
        }
    }

    struct Read(Bytes);

    impl<'de> Deserialize<'de> for Read {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_str(Decode)
        }
    }

    struct Decode;

    impl Visitor<'_> for Decode {
        type Value = Read;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("bytes in base 64")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Read, E> {
            STANDARD.decode(text).map(|bytes| Read(bytes.into())).map_err(E::custom)
        }
    }
}

/// Reads, checks and compiles a plan. All problems are told at once.
pub fn compile(bundle: &Bundle) -> Result<Compiled, Diagnostics> {
    let mut diagnostics = Diagnostics::new(bundle.file.clone(), &bundle.text);
    let Some(root) = include::parse(bundle, &mut diagnostics) else { return Err(diagnostics) };
    match lower::lower(bundle, &root, diagnostics) {
        (Some(plan), warnings) => Ok(Compiled { plan, warnings }),
        (None, diagnostics) => Err(diagnostics),
    }
}
