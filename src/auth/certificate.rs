//! A client's certificate: the name in it that stands for a user, and what operators are shown.
//!
//! Whether the certificate is to be trusted is for TLS to say, before this is asked.

use std::{fmt::Write, net::IpAddr};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{
        Decode, Encode, Tag, Tagged,
        asn1::{Any, ObjectIdentifier},
    },
    ext::pkix::{SubjectAltName, name::GeneralName},
    name::Name,
    time::Time,
};

use crate::{
    clock::UnixTime,
    config::{CertificateLogin, Config, SanType},
};

/// The types of names that RabbitMQ writes with a word; it has none for STREET (2.5.4.9).
const WORDS: [(&str, &str); 16] = [
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GIVENNAME"),
    ("2.5.4.43", "INITIALS"),
    ("2.5.4.44", "GENERATIONQUALIFIER"),
    (COMMON_NAME, "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "TITLE"),
    ("2.5.4.6", "C"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.65", "PSEUDONYM"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

const COMMON_NAME: &str = "2.5.4.3";

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate(CertificateInner<Raw>);

impl Certificate {
    /// Reads a certificate; none if it is damaged.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        CertificateInner::from_der(der).ok().map(Self)
    }

    /// Reads the certificates in a PEM file, in their order; what else is in it does not matter.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn all_in_pem(pem: &[u8]) -> Result<Vec<Self>, String> {
        let found = CertificateDer::pem_slice_iter(pem).map(|der| {
            let der = der.map_err(|error| error.to_string())?;
            Self::from_der(&der).ok_or_else(|| "a certificate in it is damaged".to_owned())
        });
        let all = found.collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() { Err("it holds no certificate".into()) } else { Ok(all) }
    }

    /// Whom it is for, as RFC 4514 writes it: `CN=client,O=organisation`.
    pub fn subject(&self) -> String {
        distinguished_name(self.0.tbs_certificate().subject())
    }

    /// Who signed it, written likewise.
    pub fn issuer(&self) -> String {
        distinguished_name(self.0.tbs_certificate().issuer())
    }

    /// From when and until when it is good.
    pub fn validity(&self) -> [UnixTime; 2] {
        let validity = self.0.tbs_certificate().validity();
        let unix = |time: Time| UnixTime(time.to_unix_duration().as_millis() as u64);
        [unix(validity.not_before), unix(validity.not_after)]
    }

    /// The same as RabbitMQ shows it: `2026-01-01T00:00:00Z - 2027-01-01T00:00:00Z`.
    pub fn validity_text(&self) -> String {
        let validity = self.0.tbs_certificate().validity();
        let text = |time: Time| time.to_date_time();
        format!("{} - {}", text(validity.not_before), text(validity.not_after))
    }

    /// The same as RabbitMQ's checks show it: `2026-01-01 00:00:00`.
    pub fn validity_texts(&self) -> [String; 2] {
        let validity = self.0.tbs_certificate().validity();
        let text = |time: Time| time.to_date_time().to_string().replace('T', " ").replace('Z', "");
        [text(validity.not_before), text(validity.not_after)]
    }

    /// The name of the user whom it stands for, if it has one where the configuration looks for it
    /// (CN-043).
    pub fn login(&self, config: &Config) -> Option<String> {
        match config.tls_login_from {
            CertificateLogin::DistinguishedName => Some(self.subject()),
            CertificateLogin::CommonName => self.common_names(),
            CertificateLogin::SubjectAlternativeName => self
                .alternative_names(config.tls_login_san_type)
                .into_iter()
                .nth(config.tls_login_san_index.into()),
        }
        .filter(|name| !name.is_empty())
    }

    /// All common names of the subject, with commas.
    fn common_names(&self) -> Option<String> {
        let names = self.0.tbs_certificate().subject().iter();
        let common = names.filter(|name| is(&name.oid, COMMON_NAME));
        let texts: Vec<_> = common.filter_map(|name| text(&name.value)).collect();
        (!texts.is_empty()).then(|| texts.join(","))
    }

    fn alternative_names(&self, san_type: SanType) -> Vec<String> {
        let found = self.0.tbs_certificate().get_extension::<SubjectAltName>();
        let names = found.ok().flatten().map(|(_, names)| names.0).unwrap_or_default();
        let of_type = names.iter().filter_map(|name| match (san_type, name) {
            (SanType::Dns, GeneralName::DnsName(name))
            | (SanType::Email, GeneralName::Rfc822Name(name))
            | (SanType::Uri, GeneralName::UniformResourceIdentifier(name)) => {
                Some(name.as_str().to_owned())
            }
            (SanType::Ip, GeneralName::IpAddress(octets)) => address(octets.as_bytes()),
            (SanType::OtherName, GeneralName::OtherName(name)) => text(&name.value),
            _ => None,
        });
        of_type.collect()
    }
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(octets).ok().map(IpAddr::from);
    v4().or_else(v6).map(|address| address.to_string())
}

/// Writes a name as RabbitMQ does: the last part first.
fn distinguished_name(name: &Name) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let texts = part.iter().map(|value| {
                let oid = value.oid.to_string();
                let word = WORDS.iter().find(|(known, _)| *known == oid);
                format!("{}={}", word.map_or(&*oid, |(_, word)| word), shown(&value.value))
            });
            texts.collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn is(oid: &ObjectIdentifier, text: &str) -> bool {
    oid.to_string() == text
}

/// A value's text; what is no text is written in hexadecimal (RFC 4514, 2.4).
fn shown(value: &Any) -> String {
    text(value).map_or_else(
        || {
            let octets = value.to_der().unwrap_or_default();
            octets.iter().fold("#".to_owned(), |mut out, octet| {
                let _ = write!(out, "{octet:02X}");
                out
            })
        },
        |text| escaped(&text),
    )
}

/// The text of a value of whichever of the string types.
fn text(value: &Any) -> Option<String> {
    let octets = value.value();
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            str::from_utf8(octets).ok().map(str::to_owned)
        }
        // As everybody does, not as X.680 has it.
        Tag::TeletexString => Some(octets.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = octets.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
            String::from_utf16(&units.collect::<Vec<_>>()).ok()
        }
        _ => None,
    }
}

/// Escapes what RFC 4514 and RabbitMQ escape: what separates, blanks at the ends, and every octet
/// that is not printable ASCII.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b' ' if at == 0 || at == last => out.push_str("\\ "),
            b'#' if at == 0 => out.push_str("\\#"),
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                out.extend(['\\', char::from(octet)]);
            }
            0..32 | 126.. => {
                let _ = write!(out, "\\{octet:02X}");
            }
            _ => out.push(char::from(octet)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use rcgen::{
        CertificateParams, DnType, DnValue, KeyPair, SanType as San, string::BmpString,
        string::Ia5String, string::TeletexString,
    };

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::from_der(signed.der()).unwrap()
    }

    fn login(certificate: &Certificate, settings: &str) -> Option<String> {
        let config = Config::from_toml("test".as_ref(), settings).unwrap();
        certificate.login(&config)
    }

    // CN-043
    #[test]
    fn distinguished_name_is_written_from_its_end() {
        let certificate = certificate(|params| {
            let name = &mut params.distinguished_name;
            name.push(DnType::CountryName, "SE");
            name.push(DnType::OrganizationName, "Lepus, Ltd.");
            name.push(DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]), "u1");
            name.push(DnType::CustomDnType(vec![2, 5, 4, 9]), "Main");
            name.push(DnType::CommonName, " #h\u{e4}re~ ");
        });
        let expected = "CN=\\ #h\\C3\\A4re\\7E\\ ,2.5.4.9=Main,UID=u1,O=Lepus\\, Ltd.,C=SE";
        assert_eq!(certificate.subject(), expected);
        assert_eq!(certificate.issuer(), expected);
        assert_eq!(login(&certificate, "").as_deref(), Some(expected));
    }

    #[test]
    fn string_types_become_the_same_text() {
        let values = [
            DnValue::BmpString(BmpString::try_from("h\u{e4}re").unwrap()),
            DnValue::Utf8String("h\u{e4}re".into()),
        ];
        for value in values {
            let certificate = certificate(|params| {
                params.distinguished_name.push(DnType::CommonName, value);
            });
            let name = login(&certificate, "tls_login_from = \"common_name\"");
            assert_eq!(name.as_deref(), Some("h\u{e4}re"));
        }
        let certificate = certificate(|params| {
            let value = TeletexString::try_from("hare").unwrap();
            params.distinguished_name.push(DnType::CommonName, DnValue::TeletexString(value));
        });
        assert_eq!(certificate.subject(), "CN=hare");
    }

    // CN-043
    #[test]
    fn alternative_names_are_taken_by_type_and_index() {
        let certificate = certificate(|params| {
            let ia5 = |text: &str| Ia5String::try_from(text).unwrap();
            params.subject_alt_names = vec![
                San::Rfc822Name(ia5("a@example.org")),
                San::DnsName(ia5("one.example.org")),
                San::URI(ia5("urn:client:1")),
                San::DnsName(ia5("two.example.org")),
                San::IpAddress(Ipv6Addr::LOCALHOST.into()),
                San::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], "me@ad".into())),
            ];
        });
        let san = |kind: &str, index: u16| {
            let settings = format!(
                "tls_login_from = \"subject_alternative_name\"\ntls_login_san_type = \"{kind}\"\n\
                 tls_login_san_index = {index}\n"
            );
            login(&certificate, &settings)
        };
        assert_eq!(san("dns", 0).as_deref(), Some("one.example.org"));
        assert_eq!(san("dns", 1).as_deref(), Some("two.example.org"));
        assert_eq!(san("dns", 2), None);
        assert_eq!(san("email", 0).as_deref(), Some("a@example.org"));
        assert_eq!(san("uri", 0).as_deref(), Some("urn:client:1"));
        assert_eq!(san("ip", 0).as_deref(), Some("::1"));
        assert_eq!(san("other_name", 0).as_deref(), Some("me@ad"));
        // There is no name but those: neither a subject nor a common name.
        assert_eq!(login(&certificate, ""), None);
        assert_eq!(login(&certificate, "tls_login_from = \"common_name\""), None);
    }

    #[test]
    fn several_common_names_are_joined() {
        let certificate = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "one,two");
        });
        let name = login(&certificate, "tls_login_from = \"common_name\"");
        assert_eq!(name.as_deref(), Some("one,two"));
    }

    #[test]
    fn validity_is_shown_as_rabbitmq_shows_it() {
        let certificate = certificate(|params| {
            params.not_before = rcgen::date_time_ymd(2026, 1, 2);
            params.not_after = rcgen::date_time_ymd(2051, 12, 31);
        });
        assert_eq!(certificate.validity_text(), "2026-01-02T00:00:00Z - 2051-12-31T00:00:00Z");
        assert_eq!(certificate.validity()[0], UnixTime(1_767_312_000_000));
    }

    #[test]
    fn damaged_certificates_are_none() {
        let whole = certificate(|_| {}).0.to_der().unwrap();
        for end in 0..whole.len() {
            assert!(Certificate::from_der(&whole[..end]).is_none());
        }
    }
}
