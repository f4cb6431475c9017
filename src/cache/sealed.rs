//! Bytes that are known to be whole when they are read back.

/// How many bytes of the digest are kept.
pub(super) const CHECK: usize = 16;

/// Separates these digests from every other use of BLAKE3.
const DOMAIN: &str = "hoist 2026-11 sealed bytes";

/// The bytes with what tells whether they are whole behind them.
pub(super) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let check = check(&bytes);
    bytes.extend_from_slice(&check);
    bytes
}

/// The bytes that were sealed; `None` if they are damaged.
pub(super) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, stored) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
    // A fuzzer never finds a digest: it is to see what comes behind.
    (cfg!(fuzzing) || check(bytes) == stored).then_some(bytes)
}

/// The bytes that were sealed, whole or not.
pub(super) fn unchecked(bytes: &[u8]) -> Option<&[u8]> {
    bytes.split_at_checked(bytes.len().checked_sub(CHECK)?).map(|(bytes, _)| bytes)
}

/// What tells whether bytes are whole, or those that are meant.
pub(super) fn check(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    blake3::Hasher::new_derive_key(DOMAIN).update(bytes).finalize_xof().fill(&mut check);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_not_read_back() {
        let sealed = seal(b"one two".to_vec());
        assert_eq!(unseal(&sealed), Some(&b"one two"[..]));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(unseal(&damaged), None);
            assert_eq!(unseal(&sealed[..at]), None);
        }
    }
}
