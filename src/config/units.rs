//! Sizes as people write them.

/// A whole number and a unit: `B`, `KiB`, `MiB`, `GiB`.
pub(super) fn bytes(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(bytes("1MiB"), Some(1 << 20));
        assert_eq!(bytes("512 KiB"), Some(512 << 10));
        assert_eq!(bytes("7B"), Some(7));
        for wrong in [
            "",
            "1",
            "MiB",
            "1MB",
            "-1MiB",
            "1.5MiB",
            "99999999999999999999GiB",
        ] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
