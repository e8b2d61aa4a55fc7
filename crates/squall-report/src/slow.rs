//! The slowest requests of a name, one by one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the slowest requests of a name, with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowRequest {
    /// When it ended, in seconds since the epoch.
    pub t_s: f64,
    /// From its scheduled start to its end.
    pub response_time_ms: f64,
    /// From its actual start to its end.
    pub service_time_ms: f64,
    /// How it ended.
    pub outcome: String,
    /// Whether that is a failure.
    pub failed: bool,
    /// What its service time is made of.
    pub phases_ms: SlowPhases,
    /// The connection it went over: `new`, `reused`, or `none` if there was none.
    pub connection: String,
    /// `http/1.1` or `h2`.
    pub protocol: String,
    /// The address it went to.
    pub remote: Option<String>,
    /// Bytes read, above TLS.
    pub bytes_received: u64,
    /// The trace id that it carried, in hexadecimal digits.
    pub trace_id: Option<String>,
}

/// How long the phases of one request took. One that did not happen is null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowPhases {
    /// Looking the name up.
    pub dns: Option<f64>,
    /// Making the connection.
    pub connect: Option<f64>,
    /// The TLS handshake.
    pub tls: Option<f64>,
    /// Writing the request.
    pub send: Option<f64>,
    /// From the last byte of the request to the first of the response.
    pub first_byte: Option<f64>,
    /// From there to the last byte.
    pub body: Option<f64>,
}
