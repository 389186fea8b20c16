//! What proves that a caller runs the gateway.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use super::limits;

/// The token of `Admin`: as long as [`limits::TOKEN_BYTES`] say, of what goes into a header without quotes. It shows itself
/// nowhere but where it is asked to.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// 32 random bytes, as text.
    pub fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// `None` where it is too short, too long, or has another character than `A-Z a-z 0-9 - . _ ~ + / =`.
    pub fn new(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let fits = limits::TOKEN_BYTES.contains(&text.len());
        (fits && text.bytes().all(legal)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How long this takes says nothing of how much of it is right.
    pub fn is(&self, said: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(said).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_one_is_long_and_unlike_any_other() {
        let (one, other) = (Token::random(), Token::random());
        assert_eq!(one.as_str().len(), 43);
        assert_eq!(Token::new(one.as_str()), Some(one.clone()));
        assert!(one.is(one.as_str().as_bytes()));
        assert!(!one.is(other.as_str().as_bytes()) && !one.is(b""));
        assert!(!one.is(&one.as_str().as_bytes()[..42]));
    }

    #[test]
    fn what_is_short_or_no_header_is_none() {
        for text in [
            "",
            "too-short",
            "with a blank in it",
            "übermäßig-lang-ist-es",
        ] {
            assert_eq!(Token::new(text), None, "{text}");
        }
        assert!(Token::new("0123456789abcdef").is_some());
        assert!(Token::new(&"a".repeat(513)).is_none());
        assert_eq!(format!("{:?}", Token::random()), "Token");
    }
}
