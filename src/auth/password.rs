//! Password hashes as RabbitMQ makes them: a salt of four bytes, and a digest over salt and
//! password (HT-127).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

const SALT_BYTES: usize = 4;

/// How a password is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashingAlgorithm {
    /// `rabbit_password_hashing_sha256`
    #[default]
    Sha256,
    /// `rabbit_password_hashing_sha512`
    Sha512,
    /// `rabbit_password_hashing_md5`: only definitions older than RabbitMQ 3.6 have it.
    Md5,
}

impl HashingAlgorithm {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha512, Self::Md5];

    /// RabbitMQ's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
            Self::Md5 => "rabbit_password_hashing_md5",
        }
    }

    /// The algorithm of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Bytes of salt and digest together.
    pub(super) fn hash_bytes(self) -> usize {
        SALT_BYTES
            + match self {
                Self::Sha256 => Sha256::output_size(),
                Self::Sha512 => Sha512::output_size(),
                Self::Md5 => Md5::output_size(),
            }
    }
}

/// A salted hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    algorithm: HashingAlgorithm,
    /// Salt, then digest.
    bytes: Box<[u8]>,
}

impl PasswordHash {
    /// Hashes a password under a salt from the operating system, which may fail to give one.
    pub fn new(password: &[u8]) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(Self::of(password, salt))
    }

    /// Hashes a password under this salt, in the way of new hashes.
    pub fn of(password: &[u8], salt: [u8; SALT_BYTES]) -> Self {
        Self::by(HashingAlgorithm::default(), password, &salt)
    }

    fn by(algorithm: HashingAlgorithm, password: &[u8], salt: &[u8]) -> Self {
        fn hash<D: Digest>(password: &[u8], salt: &[u8]) -> Box<[u8]> {
            let digest = D::new().chain_update(salt).chain_update(password).finalize();
            [salt, &digest].concat().into()
        }
        let bytes = match algorithm {
            HashingAlgorithm::Sha256 => hash::<Sha256>(password, salt),
            HashingAlgorithm::Sha512 => hash::<Sha512>(password, salt),
            HashingAlgorithm::Md5 => hash::<Md5>(password, salt),
        };
        Self { algorithm, bytes }
    }

    /// Whether this is the hash of that password. Takes the same time wherever they differ.
    pub fn verifies(&self, password: &[u8]) -> bool {
        let salt = &self.bytes[..SALT_BYTES];
        Self::by(self.algorithm, password, salt).bytes.ct_eq(&self.bytes).into()
    }

    /// How it was made.
    pub fn algorithm(&self) -> HashingAlgorithm {
        self.algorithm
    }

    /// Reads a hash as it stands in RabbitMQ's definitions; `None` if it is none.
    pub fn from_base64(algorithm: HashingAlgorithm, text: &str) -> Option<Self> {
        Self::from_bytes(algorithm, &BASE64.decode(text).ok()?)
    }

    /// The same of a hash that may have been made in another way, as its length tells.
    pub fn from_base64_like(likely: HashingAlgorithm, text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        let algorithms = [likely].into_iter().chain(HashingAlgorithm::ALL);
        algorithms.into_iter().find_map(|algorithm| Self::from_bytes(algorithm, &bytes))
    }

    /// Writes the hash as it stands in RabbitMQ's definitions.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.bytes)
    }

    pub(super) fn from_bytes(algorithm: HashingAlgorithm, bytes: &[u8]) -> Option<Self> {
        let fits = bytes.len() == algorithm.hash_bytes();
        fits.then(|| Self { algorithm, bytes: bytes.into() })
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
    use HashingAlgorithm::{Md5, Sha256, Sha512};

    use super::*;

    /// HT-127: a hash that RabbitMQ made, of the password `test12`.
    const FROM_RABBITMQ: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

    #[test]
    fn a_hash_of_rabbitmq_is_verified_and_written_back() {
        let hash = PasswordHash::from_base64(Sha256, FROM_RABBITMQ).unwrap();
        assert!(hash.verifies(b"test12"));
        assert!(!hash.verifies(b"test13"));
        assert!(!hash.verifies(b""));
        assert_eq!(hash.to_base64(), FROM_RABBITMQ);
        assert_eq!(hash.algorithm(), Sha256);
    }

    #[test]
    fn our_hash_under_the_same_salt_is_that_of_rabbitmq() {
        let hash = PasswordHash::of(b"test12", [0x90, 0x8D, 0xC6, 0x0A]);
        assert_eq!(hash.to_base64(), FROM_RABBITMQ);
    }

    // HT-127: RabbitMQ 4.3.6 lets `test12` in by these.
    #[test]
    fn hashes_of_the_other_algorithms_are_verified_and_written_back() {
        let from_rabbitmq = [
            (
                Sha512,
                "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYw\
                 X2cDWb4DHnc=",
            ),
            (Md5, "kI3GChNpte2FApYFXScl+0dIluk="),
        ];
        for (algorithm, text) in from_rabbitmq {
            let hash = PasswordHash::from_base64(algorithm, text).unwrap();
            assert!(hash.verifies(b"test12") && !hash.verifies(b"test13"), "{algorithm:?}");
            assert_eq!(hash.to_base64(), text);
            assert_eq!(HashingAlgorithm::parse(algorithm.as_str()), Some(algorithm));
        }
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
            assert_eq!(PasswordHash::from_base64(Sha256, text), None, "{text}");
        }
        assert_eq!(PasswordHash::from_base64(Md5, FROM_RABBITMQ), None);
    }
}
