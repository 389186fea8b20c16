//! `traceparent`, as the W3C writes it.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};

/// `None` for what cannot be one: it is as if there were none.
pub(super) fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may have more behind it.
    let rest = parts.next().is_some();
    if version == "ff" || version == "00" && rest {
        return None;
    }
    hex(version, 2)?;
    let context = SpanContext::new(
        TraceId::from(hex(trace, 32)?),
        SpanId::from(hex(span, 16)? as u64),
        TraceFlags::new(hex(flags, 2)? as u8),
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

pub(super) fn written(context: &SpanContext) -> String {
    let sampled = context.trace_flags() & TraceFlags::SAMPLED;
    let (trace, span) = (context.trace_id(), context.span_id());
    format!("00-{trace}-{span}-{:02x}", sampled.to_u8())
}

pub(super) fn remote(context: &SpanContext) -> Context {
    Context::new().with_remote_span_context(context.clone())
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = text.len() == digits && text.bytes().all(lower);
    u128::from_str_radix(text, 16).ok().filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn it_is_written_as_it_is_read() {
        assert_eq!(written(&parse(ONE).unwrap()), ONE);
        let later = format!("01{}-more", &ONE[2..]);
        assert_eq!(written(&parse(&later).unwrap()), ONE);
        let unsampled = format!("{}00", &ONE[..53]);
        assert!(!parse(&unsampled).unwrap().is_sampled());
    }

    #[test]
    fn what_cannot_be_one_is_none() {
        let zeros = "0".repeat(32);
        for wrong in [
            "",
            "00",
            &ONE[..54],
            &format!("{ONE}-more"),
            &format!("ff{}", &ONE[2..]),
            &ONE.to_uppercase(),
            &format!("00-{zeros}{}", &ONE[35..]),
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
