//! What goes wrong with one event, by chance.

use std::time::Duration;

use fastrand::Rng;

use crate::support::http_server::Reply;
use crate::support::proxy::{Behavior, HandshakePhase};
use crate::support::secrets::Fault;

/// All that goes wrong with one event.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// For the first connections to the database.
    pub behaviors: Vec<Behavior>,
    /// For all further ones.
    pub usual: Option<Behavior>,
    /// The database's address refuses connections, for this long from the beginning.
    pub refused_for: Option<Duration>,
    /// The network is gone, from this time on.
    pub gone_after: Option<Duration>,
    /// The server is killed after this time, and started again.
    pub killed_after: Option<Duration>,
    /// For the first calls of Secrets Manager.
    pub secrets: Vec<Fault>,
    /// For the first PUTs.
    pub bucket: Vec<Reply>,
}

impl Faults {
    /// The faults of the next event: in four of ten nothing goes wrong.
    pub fn of(rng: &mut Rng) -> Self {
        let mut faults = Self::default();
        if rng.u32(..10) < 4 {
            return faults;
        }
        match rng.u32(..100) {
            0..45 => faults.behaviors = (0..rng.usize(1..4)).map(|_| short(rng)).collect(),
            45..52 => faults.refused_for = Some(milliseconds(rng, 1500)),
            52..56 => faults.gone_after = Some(milliseconds(rng, 400)),
            56..59 => faults.behaviors = vec![Behavior::DeadAfter(milliseconds(rng, 300))],
            59..61 => faults.usual = Some(Behavior::Silent),
            61..64 => faults.usual = Some(Behavior::CutAt(phase(rng))),
            64..70 => {
                faults.usual = Some(Behavior::Slow(rng.usize(32..512), Duration::from_millis(2)));
            }
            70..75 => faults.killed_after = Some(milliseconds(rng, 400)),
            _ => {}
        }
        if rng.u32(..100) < 20 {
            faults.secrets = (0..rng.usize(1..3)).map(|_| of_secrets(rng)).collect();
        }
        match rng.u32(..100) {
            0..40 => faults.bucket = (0..rng.usize(1..4)).map(|_| of_bucket(rng)).collect(),
            40..43 => faults.bucket = vec![Reply::status(503, ""); 1000],
            43..47 => faults.bucket = vec![Reply::status(403, "<Code>AccessDenied</Code>")],
            47..49 => faults.bucket = vec![Reply::Hang; 10],
            _ => {}
        }
        faults
    }

    /// Whether the network is gone at the end, so that nothing more reaches the server.
    pub fn loses_the_goodbye(&self) -> bool {
        self.gone_after.is_some()
            || self.usual == Some(Behavior::Silent)
            || self.behaviors.iter().any(|way| matches!(way, Behavior::DeadAfter(_)))
    }

    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.none_for_the_database() && self.secrets.is_empty() && self.bucket.is_empty()
    }

    /// Whether all is well between the function and the database.
    pub fn none_for_the_database(&self) -> bool {
        self.behaviors.is_empty()
            && self.usual.is_none()
            && self.refused_for.is_none()
            && self.gone_after.is_none()
            && self.killed_after.is_none()
    }
}

/// Something that passes with the connection.
fn short(rng: &mut Rng) -> Behavior {
    match rng.u32(..3) {
        0 => Behavior::Reset,
        1 => Behavior::CutAt(phase(rng)),
        _ => Behavior::CutAfter(milliseconds(rng, 300)),
    }
}

fn phase(rng: &mut Rng) -> HandshakePhase {
    let phases = [
        HandshakePhase::Accepted,
        HandshakePhase::TlsRequest,
        HandshakePhase::Hello,
        HandshakePhase::Startup,
        HandshakePhase::Proof,
    ];
    phases[rng.usize(..phases.len())]
}

fn of_secrets(rng: &mut Rng) -> Fault {
    match rng.u32(..4) {
        0 => Fault::Error("ThrottlingException"),
        1 => Fault::Error("InternalServiceError"),
        2 => Fault::Error("AccessDeniedException"),
        _ => Fault::Cut,
    }
}

fn of_bucket(rng: &mut Rng) -> Reply {
    match rng.u32(..3) {
        0 => Reply::Cut,
        1 => Reply::status(500, ""),
        _ => Reply::status(503, "<Error><Code>SlowDown</Code></Error>"),
    }
}

fn milliseconds(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.u64(..most))
}
