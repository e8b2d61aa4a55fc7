//! The slowest requests of a name, one by one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_metrics::{ConnectionUse, Exemplar, Phase};

use crate::build::ms;

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

impl SlowRequest {
    pub(crate) fn of(exemplar: &Exemplar) -> Self {
        let phase = |phase| exemplar.phases.get(phase).map(ms);
        Self {
            t_s: seconds(exemplar.ended_us),
            response_time_ms: ms(exemplar.response_us()),
            service_time_ms: ms(exemplar.service_us()),
            outcome: exemplar.outcome.to_string(),
            failed: exemplar.failed,
            phases_ms: SlowPhases {
                dns: phase(Phase::Dns),
                connect: phase(Phase::Connect),
                tls: phase(Phase::Tls),
                send: phase(Phase::Send),
                first_byte: phase(Phase::FirstByte),
                body: phase(Phase::Body),
            },
            connection: match exemplar.connection {
                ConnectionUse::None => "none",
                ConnectionUse::New => "new",
                ConnectionUse::Reused => "reused",
            }
            .to_owned(),
            protocol: if exemplar.http2 { "h2" } else { "http/1.1" }.to_owned(),
            remote: exemplar.remote.map(|address| address.to_string()),
            bytes_received: exemplar.bytes_received,
            trace_id: exemplar.trace.filter(|_| exemplar.trace_sent).map(|trace| trace.to_string()),
        }
    }
}

/// Microseconds since the epoch as seconds.
pub(crate) fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use squall_metrics::{Outcome, Recorder, Sample, SeriesId, TraceId};

    use super::*;

    #[test]
    fn a_slow_request_is_told_with_what_is_known_of_it_and_nothing_else() {
        let mut recorder = Recorder::new(1);
        let mut sample = Sample {
            ended_us: 1_500_000,
            outcome: Outcome::Status(503),
            failed: true,
            connection: ConnectionUse::New,
            http2: true,
            remote: Some(recorder.remote(IpAddr::from([127, 0, 0, 1]))),
            bytes_received: 9,
            trace: Some(TraceId([0xab; 16])),
            trace_sent: true,
            ..Sample::begun(SeriesId(0), -500_000, 250_000)
        };
        sample.phases.add(Phase::Body, 0);
        sample.phases.add(Phase::FirstByte, 1_250_000);
        recorder.record(&sample);
        // It carries another id than the one that was drawn for it.
        recorder.record(&Sample { ended_us: 0, trace_sent: false, remote: None, ..sample });
        let interval = recorder.take().into_interval();
        let slow: Vec<SlowRequest> = interval.slowest[&SeriesId(0)].iter().map(SlowRequest::of).collect();
        let expected = SlowRequest {
            t_s: 1.5,
            response_time_ms: 2_000.0,
            service_time_ms: 1_250.0,
            outcome: "503".to_owned(),
            failed: true,
            phases_ms: SlowPhases { first_byte: Some(1_250.0), body: Some(0.0), ..SlowPhases::default() },
            connection: "new".to_owned(),
            protocol: "h2".to_owned(),
            remote: Some("127.0.0.1".to_owned()),
            bytes_received: 9,
            trace_id: Some("ab".repeat(16)),
        };
        assert_eq!(slow[0], expected);
        assert_eq!((&slow[1].trace_id, &slow[1].remote, slow[1].t_s), (&None, &None, 0.0));
    }
}
