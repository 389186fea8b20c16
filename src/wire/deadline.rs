//! `grpc-timeout`: at that moment the method is dropped and the caller learns nothing, so the answer leaves a margin earlier.

use std::time::Duration;

use http::HeaderMap;

/// How long the answer may take, if the call has a deadline. One that cannot be read counts as none, as it does for tonic.
pub(crate) fn wait_within(headers: &HeaderMap) -> Option<Duration> {
    let timeout = parse(headers.get("grpc-timeout")?.to_str().ok()?)?;
    Some(timeout.saturating_sub(margin(timeout)))
}

/// A tenth covers what is slow on a slow call; the bounds are a busy scheduler's delay, and what nobody minds waiting less.
fn margin(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

/// One to eight digits and a unit.
fn parse(timeout: &str) -> Option<Duration> {
    let (digits, unit) = timeout.split_at_checked(timeout.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_nonsense_is_not() {
        assert_eq!(
            parse("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        for nonsense in ["", "S", "5", "-5S", "+5S", "123456789S", "5s", "5é", "é"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn the_answer_leaves_before_the_deadline() {
        let within = |timeout: &str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                timeout.parse().expect("a header value"),
            )]);
            wait_within(&headers).expect("a deadline")
        };
        assert_eq!(within("1S"), Duration::from_millis(900));
        assert_eq!(within("60S"), Duration::from_millis(59_750));
        assert_eq!(within("50m"), Duration::from_millis(40));
        assert_eq!(within("5m"), Duration::ZERO);
        assert_eq!(wait_within(&HeaderMap::new()), None);
    }
}
