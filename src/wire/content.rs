//! The payload of a content header frame (AMQP 0-9-1 4.2.6.1).

use super::reader::Reader;

/// A content header, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class that the content belongs to: 60, basic, is the only one that has any.
    pub class_id: u16,
    /// Must be 0.
    pub weight: u16,
    /// Octets of the body, which follows in body frames if it has any.
    pub body_size: u64,
    /// Property flags and property list, not looked at yet; see
    /// [`Properties`](super::properties::Properties).
    pub properties: &'a [u8],
}

/// Why a payload is no content header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Shorter than the twelve octets that every content header begins with. RabbitMQ answers as to
    /// a frame of unknown kind.
    #[error("content header shorter than 12 octets")]
    TooShort,
}

/// Reads the payload of a content header frame.
#[inline]
pub fn header(payload: &[u8]) -> Result<ContentHeader<'_>, ContentError> {
    let mut rest = Reader(payload);
    let mut parts = || Some((rest.short()?, rest.short()?, rest.longlong()?));
    let (class_id, weight, body_size) = parts().ok_or(ContentError::TooShort)?;
    Ok(ContentHeader { class_id, weight, body_size, properties: rest.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_header_gives_its_parts() {
        let payload = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0x10, 0, 2];
        let expected =
            ContentHeader { class_id: 60, weight: 0, body_size: 258, properties: &[0x10, 0, 2] };
        assert_eq!(header(&payload), Ok(expected));
    }

    #[test]
    fn content_header_needs_twelve_octets() {
        for len in 0..12 {
            assert_eq!(header(&[0; 12][..len]), Err(ContentError::TooShort));
        }
        assert!(header(&[0; 12]).is_ok());
    }
}
