//! Password hashes as RabbitMQ makes them: a salt of four bytes, and SHA-256 over salt and password
//! (HT-127).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const SALT_BYTES: usize = 4;
const DIGEST_BYTES: usize = 32;
const HASH_BYTES: usize = SALT_BYTES + DIGEST_BYTES;

/// A salted hash of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordHash {
    /// Salt, then digest.
    bytes: [u8; HASH_BYTES],
}

impl PasswordHash {
    /// Hashes a password under a salt from the operating system, which may fail to give one.
    pub fn new(password: &[u8]) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(Self::of(password, salt))
    }

    /// Hashes a password under this salt.
    pub fn of(password: &[u8], salt: [u8; SALT_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(salt).chain_update(password).finalize();
        let mut bytes = [0; HASH_BYTES];
        bytes[..SALT_BYTES].copy_from_slice(&salt);
        bytes[SALT_BYTES..].copy_from_slice(&digest);
        Self { bytes }
    }

    /// Whether this is the hash of that password. Takes the same time wherever they differ.
    pub fn verifies(&self, password: &[u8]) -> bool {
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&self.bytes[..SALT_BYTES]);
        Self::of(password, salt).bytes.ct_eq(&self.bytes).into()
    }

    /// Reads a hash as it stands in RabbitMQ's definitions; `None` if it is none.
    pub fn from_base64(text: &str) -> Option<Self> {
        Self::from_bytes(&BASE64.decode(text).ok()?)
    }

    /// Writes the hash as it stands in RabbitMQ's definitions.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self { bytes: bytes.try_into().ok()? })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HT-127: a hash that RabbitMQ made, of the password `test12`.
    const FROM_RABBITMQ: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

    #[test]
    fn a_hash_of_rabbitmq_is_verified_and_written_back() {
        let hash = PasswordHash::from_base64(FROM_RABBITMQ).unwrap();
        assert!(hash.verifies(b"test12"));
        assert!(!hash.verifies(b"test13"));
        assert!(!hash.verifies(b""));
        assert_eq!(hash.to_base64(), FROM_RABBITMQ);
    }

    #[test]
    fn our_hash_under_the_same_salt_is_that_of_rabbitmq() {
        let hash = PasswordHash::of(b"test12", [0x90, 0x8D, 0xC6, 0x0A]);
        assert_eq!(hash.to_base64(), FROM_RABBITMQ);
    }

    #[test]
    fn the_same_password_is_hashed_differently_each_time() {
        let (one, other) = (PasswordHash::new(b"p").unwrap(), PasswordHash::new(b"p").unwrap());
        assert_ne!(one, other);
        assert!(one.verifies(b"p") && other.verifies(b"p"));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in ["", "!", "kI3G", &FROM_RABBITMQ[4..]] {
            assert_eq!(PasswordHash::from_base64(text), None, "{text}");
        }
    }
}
