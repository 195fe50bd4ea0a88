//! 128-bit numbers as 22 base62 characters (digits, then lower case, then upper case), the form of PassKit's ids.

const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Characters that hold any 128-bit number: 62^22 > 2^128.
pub(crate) const LENGTH: usize = 22;

/// Digits of the largest power of 62 that 64 bits hold: a division of 128 bits takes many times as long as one of 64.
const PIECE: usize = 10;

pub(crate) fn encode(mut number: u128) -> [u8; LENGTH] {
    let mut out = [b'0'; LENGTH];
    for piece in out.rchunks_mut(PIECE) {
        let power = u128::from(62_u64.pow(PIECE as u32));
        let mut rest = (number % power) as u64;
        number /= power;
        for slot in piece.iter_mut().rev() {
            *slot = ALPHABET[(rest % 62) as usize];
            rest /= 62;
        }
    }
    out
}

pub(crate) fn decode(text: &str) -> Option<u128> {
    if text.len() != LENGTH {
        return None;
    }
    text.bytes().try_fold(0u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            b'A'..=b'Z' => byte - b'A' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_the_ends() {
        for number in [0, 1, 61, 62, u128::MAX] {
            let text = encode(number);
            assert_eq!(decode(std::str::from_utf8(&text).unwrap()), Some(number));
        }
        for power in 0..LENGTH as u32 {
            let mut text = [b'0'; LENGTH];
            text[LENGTH - 1 - power as usize] = b'1';
            assert_eq!(encode(62_u128.pow(power)), text, "62 to the {power}");
        }
        assert_eq!(decode("ZZZZZZZZZZZZZZZZZZZZZZ"), None, "more than 128 bits");
        assert_eq!(decode("short"), None);
    }
}
