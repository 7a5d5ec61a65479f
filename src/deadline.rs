//! How long a request may work, and how long it may take to respond.

use std::time::{Duration, Instant};

/// What is kept back for the response, where there is enough.
const RESERVE: Duration = Duration::from_secs(10);

/// The deadlines of one request.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    work_until: Instant,
    response_until: Instant,
}

impl Deadline {
    /// Divides `available`, the smaller of what Lambda and `ServiceTimeout` leave from `now` on,
    /// into work and a reserve for responding: 10 s, or half where there are less than 20 s.
    pub fn new(now: Instant, available: Duration) -> Self {
        let reserve = RESERVE.min(available / 2);
        Self {
            work_until: now + available.saturating_sub(reserve),
            response_until: now + available,
        }
    }

    /// The same reserve, with `service_timeout` as a further bound from `now` on.
    #[must_use]
    pub fn within(self, now: Instant, service_timeout: Duration) -> Self {
        let available = self.response_until.saturating_duration_since(now);
        if service_timeout < available { Self::new(now, service_timeout) } else { self }
    }

    /// The same, with work ending `limit` from now at the latest.
    #[must_use]
    pub fn at_most(self, limit: Duration) -> Self {
        Self { work_until: self.work_until.min(Instant::now() + limit), ..self }
    }

    /// When work has to end.
    pub fn work_until(&self) -> Instant {
        self.work_until
    }

    /// When the response has to be sent.
    pub fn response_until(&self) -> Instant {
        self.response_until
    }

    /// When the work is given up, should it not have ended by itself: halfway through the reserve.
    pub fn abort_at(&self) -> Instant {
        self.work_until + self.response_until.saturating_duration_since(self.work_until) / 2
    }

    /// Until when to try to deliver a response that there is `now`: for as long as the reserve, and
    /// ending a little early, to return from the function. After that the failure
    /// destination takes over, and `CloudFormation` should still be waiting for it.
    pub fn upload_until(&self, now: Instant) -> Instant {
        const MARGIN: Duration = Duration::from_millis(250);
        let reserve = self.response_until.saturating_duration_since(self.work_until);
        (now + reserve).min(self.response_until).checked_sub(MARGIN).unwrap_or(now)
    }

    /// What the server may take longer than its own timeouts, before the function cancels and disconnects.
    pub fn grace(&self) -> Duration {
        (self.response_until.saturating_duration_since(self.work_until) / 10)
            .min(Duration::from_millis(500))
    }

    /// What is left for work.
    pub fn left(&self) -> Duration {
        self.work_until.saturating_duration_since(Instant::now())
    }

    /// What is left for work in whole milliseconds, as `statement_timeout` takes it: at least 1,
    /// since 0 would mean no limit, and at most what the setting can hold.
    pub fn left_in_milliseconds(&self) -> i32 {
        i32::try_from(self.left().as_millis()).unwrap_or(i32::MAX).max(1)
    }

    /// `lock_timeout` and `statement_timeout`, in milliseconds: the first a little shorter.
    pub fn timeouts(&self) -> (i32, i32) {
        let ms = self.left_in_milliseconds();
        ((ms - 100).max(1), ms)
    }
}

/// How long to wait between attempts: doubles from a fifth of a second to five seconds, with
/// jitter, so that many stacks do not connect at once.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const MAX_PAUSE: Duration = Duration::from_secs(5);

    /// Starts with a short pause.
    pub fn new() -> Self {
        Self { next: Duration::from_millis(200) }
    }

    /// Waits, but not past `until`; `false` if there is no time left for another attempt.
    pub async fn pause(&mut self, until: Instant) -> bool {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(Self::MAX_PAUSE);
        if Instant::now() + pause >= until {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(available: u64) -> (u64, u64) {
        let now = Instant::now();
        let deadline = Deadline::new(now, Duration::from_secs(available));
        ((deadline.work_until - now).as_secs(), (deadline.response_until - now).as_secs())
    }

    #[test]
    fn ten_seconds_are_kept_back_or_half() {
        assert_eq!(parts(900), (890, 900));
        assert_eq!(parts(20), (10, 20));
        assert_eq!(parts(12), (6, 12));
        assert_eq!(parts(0), (0, 0));
    }

    #[test]
    fn service_timeout_only_shortens() {
        let now = Instant::now();
        let deadline = Deadline::new(now, Duration::from_secs(900));
        let shorter = deadline.within(now, Duration::from_secs(60));
        assert_eq!(shorter.work_until - now, Duration::from_secs(50));
        let same = deadline.within(now, Duration::from_secs(3600));
        assert_eq!(same.work_until - now, Duration::from_secs(890));
    }

    #[test]
    fn a_timeout_of_zero_would_mean_none() {
        assert_eq!(Deadline::new(Instant::now(), Duration::ZERO).left_in_milliseconds(), 1);
    }
}
