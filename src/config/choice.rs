//! Settings that are one of a few words.

use super::value::Value;

macro_rules! choice {
    ($(
        $(#[$meta:meta])*
        $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),* }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
        pub enum $name {
            $($(#[$variant_meta])* #[value(name = $text)] $variant),*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),*
                }
            }
        }

        impl Value for $name {
            fn kind() -> String {
                format!("one of {}", [$($text),*].join(", "))
            }
            fn read(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
            fn show(&self) -> String {
                self.as_str().into()
            }
        }
    )*};
}

choice! {
    /// When what is durable reaches the disk.
    SyncMode {
        /// A confirm leaves only after its messages were synced to the disk.
        Always = "always",
        /// Synced at intervals; a confirm does not wait for it.
        Interval = "interval",
        /// Left to the operating system; a confirm does not wait for it.
        Off = "off"
    }

    /// What `basic.qos` with `global` set limits.
    GlobalPrefetch {
        /// The unacknowledged deliveries of all consumers of the channel together.
        Channel = "channel",
        /// Those of each consumer for itself, as RabbitMQ 4.3 does.
        Consumer = "consumer"
    }

    /// Whether messages get a header as they are published.
    SetHeader {
        /// They do not.
        Off = "off",
        /// Those that come without it do.
        Missing = "missing",
        /// All do, whatever they come with.
        Overwrite = "overwrite"
    }

    /// The type of queues whose declare says none, in vhosts that say none.
    DefaultQueueType {
        /// `classic`
        Classic = "classic",
        /// `quorum`
        Quorum = "quorum"
    }

    /// How a line of the log is written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object to a line.
        Json = "json"
    }

    /// A version of TLS.
    TlsVersion {
        /// RFC 8446.
        V1_3 = "1.3",
        /// RFC 5246.
        V1_2 = "1.2"
    }

    /// What of a client's certificate is the name of its user.
    CertificateLogin {
        /// The subject as RFC 4514 writes it: `CN=client,O=organisation`.
        DistinguishedName = "distinguished_name",
        /// The common names of the subject.
        CommonName = "common_name",
        /// One of the subject alternative names.
        SubjectAlternativeName = "subject_alternative_name"
    }

    /// A type of subject alternative names.
    SanType {
        /// Names of hosts.
        Dns = "dns",
        /// Addresses.
        Ip = "ip",
        /// Addresses of mail.
        Email = "email",
        /// URIs.
        Uri = "uri",
        /// Names of another kind, such as those of Windows domains.
        OtherName = "other_name"
    }

    /// A mechanism of login.
    AuthMechanism {
        /// User and password in a table, as the earliest AMQP had it.
        Amqplain = "AMQPLAIN",
        /// User and password.
        Plain = "PLAIN",
        /// Nothing: the user is guest.
        Anonymous = "ANONYMOUS",
        /// The client's certificate.
        External = "EXTERNAL"
    }

    /// Who is asked about a user and a password.
    AuthBackend {
        /// The broker's own users.
        Internal = "internal",
        /// The keys of an OAuth 2 server, by which it signs tokens.
        Oauth2 = "oauth2"
    }

    /// An algorithm of a token's signature, as RFC 7518 calls it.
    JwtAlgorithm {
        /// RSA (PKCS 1) with SHA-256.
        Rs256 = "RS256",
        /// RSA (PKCS 1) with SHA-384.
        Rs384 = "RS384",
        /// RSA (PKCS 1) with SHA-512.
        Rs512 = "RS512",
        /// RSA (PSS) with SHA-256.
        Ps256 = "PS256",
        /// RSA (PSS) with SHA-384.
        Ps384 = "PS384",
        /// RSA (PSS) with SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA"
    }
}
