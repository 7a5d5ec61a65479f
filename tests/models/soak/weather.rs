//! What goes wrong with one event, by chance.

use std::time::Duration;

use fastrand::Rng;

use crate::support::http_server::Reply;
use crate::support::proxy::{Moment, Way};
use crate::support::secrets::Fault;

/// All that goes wrong with one event.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// For the first connections to the database.
    pub ways: Vec<Way>,
    /// For all further ones.
    pub usual: Option<Way>,
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

impl Weather {
    /// The weather for the next event: in four of ten nothing goes wrong.
    pub fn of(rng: &mut Rng) -> Self {
        let mut weather = Self::default();
        if rng.u32(..10) < 4 {
            return weather;
        }
        match rng.u32(..100) {
            0..45 => weather.ways = (0..rng.usize(1..4)).map(|_| short(rng)).collect(),
            45..52 => weather.refused_for = Some(milliseconds(rng, 1500)),
            52..56 => weather.gone_after = Some(milliseconds(rng, 400)),
            56..59 => weather.ways = vec![Way::DeadAfter(milliseconds(rng, 300))],
            59..61 => weather.usual = Some(Way::Silent),
            61..64 => weather.usual = Some(Way::CutAt(moment(rng))),
            64..70 => weather.usual = Some(Way::Slow(rng.usize(32..512), Duration::from_millis(2))),
            70..75 => weather.killed_after = Some(milliseconds(rng, 400)),
            _ => {}
        }
        if rng.u32(..100) < 20 {
            weather.secrets = (0..rng.usize(1..3)).map(|_| of_secrets(rng)).collect();
        }
        match rng.u32(..100) {
            0..40 => weather.bucket = (0..rng.usize(1..4)).map(|_| of_bucket(rng)).collect(),
            40..43 => weather.bucket = vec![Reply::status(503, ""); 1000],
            43..47 => weather.bucket = vec![Reply::status(403, "<Code>AccessDenied</Code>")],
            47..49 => weather.bucket = vec![Reply::Hang; 10],
            _ => {}
        }
        weather
    }

    /// Whether the network is gone at the end, so that the server is told nothing more.
    pub fn loses_farewells(&self) -> bool {
        self.gone_after.is_some()
            || self.usual == Some(Way::Silent)
            || self.ways.iter().any(|way| matches!(way, Way::DeadAfter(_)))
    }

    /// Whether all is well.
    pub fn is_fair(&self) -> bool {
        self.spares_the_database() && self.secrets.is_empty() && self.bucket.is_empty()
    }

    /// Whether all is well between the function and the database.
    pub fn spares_the_database(&self) -> bool {
        self.ways.is_empty()
            && self.usual.is_none()
            && self.refused_for.is_none()
            && self.gone_after.is_none()
            && self.killed_after.is_none()
    }
}

/// Something that passes with the connection.
fn short(rng: &mut Rng) -> Way {
    match rng.u32(..3) {
        0 => Way::Reset,
        1 => Way::CutAt(moment(rng)),
        _ => Way::CutAfter(milliseconds(rng, 300)),
    }
}

fn moment(rng: &mut Rng) -> Moment {
    let moments =
        [Moment::Accepted, Moment::TlsRequest, Moment::Hello, Moment::Startup, Moment::Proof];
    moments[rng.usize(..moments.len())]
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
