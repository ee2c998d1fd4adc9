//! From what went wrong to what the peer is told: the only place that knows reply codes (R10).

use std::fmt::Display;

use crate::{
    broker,
    wire::{content::ContentError, frame::FrameError, method::MethodError},
};

/// Class and method id of the method that failed; (0, 0) when none did (ER-21).
pub(super) type Ids = (u16, u16);

/// The contents of a `channel.close` or `connection.close`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    /// At most 255 bytes (ER-20).
    pub(super) text: String,
    pub(super) ids: Ids,
}

impl Close {
    /// Whether somebody wants the connection closed who may: it is no error of the client.
    pub(super) fn is_forced(&self) -> bool {
        self.code == Code::ConnectionForced.number_and_name().0
    }
}

/// What ends a channel or a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// `channel.close`; the rest of the connection goes on.
    Channel(Close),
    /// `connection.close`.
    Connection(Close),
    /// The socket is closed without a word (CN-045..048, CN-065).
    Silent(&'static str),
}

/// RabbitMQ's reply codes that close a channel or a connection (ER-01..18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    ConnectionForced,
    AccessRefused,
    NotFound,
    ResourceLocked,
    PreconditionFailed,
    FrameError,
    CommandInvalid,
    ChannelError,
    UnexpectedFrame,
    NotAllowed,
    NotImplemented,
    InternalError,
}

impl Code {
    fn number_and_name(self) -> (u16, &'static str) {
        match self {
            Self::ConnectionForced => (320, "CONNECTION_FORCED"),
            Self::AccessRefused => (403, "ACCESS_REFUSED"),
            Self::NotFound => (404, "NOT_FOUND"),
            Self::ResourceLocked => (405, "RESOURCE_LOCKED"),
            Self::PreconditionFailed => (406, "PRECONDITION_FAILED"),
            Self::FrameError => (501, "FRAME_ERROR"),
            Self::CommandInvalid => (503, "COMMAND_INVALID"),
            Self::ChannelError => (504, "CHANNEL_ERROR"),
            Self::UnexpectedFrame => (505, "UNEXPECTED_FRAME"),
            Self::NotAllowed => (530, "NOT_ALLOWED"),
            Self::NotImplemented => (540, "NOT_IMPLEMENTED"),
            Self::InternalError => (541, "INTERNAL_ERROR"),
        }
    }

    fn closes_channel(self) -> bool {
        matches!(
            self,
            Self::AccessRefused | Self::NotFound | Self::ResourceLocked | Self::PreconditionFailed
        )
    }

    /// The close with this code: of the channel or of the connection, as the code says (0.3).
    pub(super) fn failure(self, ids: Ids, explanation: impl Display) -> Failure {
        let close = self.close(ids, explanation);
        if self.closes_channel() { Failure::Channel(close) } else { Failure::Connection(close) }
    }

    /// The contents of a close with this code.
    pub(super) fn close(self, ids: Ids, explanation: impl Display) -> Close {
        let (code, name) = self.number_and_name();
        Close { code, text: shortened(format!("{name} - {explanation}")), ids }
    }
}

/// Cuts a reply text to 255 bytes; a cut one ends in `...` (ER-20).
fn shortened(mut text: String) -> String {
    const MAX: usize = 255;
    if text.len() > MAX {
        let mut end = MAX - 3;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// What a frame that is none is answered with (FR-001..006).
pub(super) fn of_frame(error: &FrameError) -> Failure {
    Code::FrameError.failure((0, 0), error)
}

/// What a method frame without a method is answered with (FR-005, FR-007, FR-008, FR-020, FR-021).
pub(super) fn of_method(error: &MethodError, payload: &[u8]) -> Failure {
    match error {
        MethodError::TooShort => {
            let octets = crate::wire::frame::Octets::of(payload);
            Code::FrameError.failure((0, 0), format_args!("type 1, {octets}: unknown_frame"))
        }
        // deviation: RabbitMQ's reader crashes on these and resets the socket (DP-04).
        MethodError::Unknown { class_id, method_id } => {
            Code::CommandInvalid.failure((*class_id, *method_id), "unimplemented method")
        }
        MethodError::Truncated { class_id, method_id, .. } => {
            Code::FrameError.failure((*class_id, *method_id), error)
        }
        _ => Code::FrameError.failure((0, 0), error),
    }
}

/// What a header frame without a content header is answered with.
pub(super) fn of_content(error: ContentError, payload: &[u8]) -> Failure {
    match error {
        ContentError::TooShort => {
            let octets = crate::wire::frame::Octets::of(payload);
            Code::FrameError.failure((0, 0), format_args!("type 2, {octets}: unknown_frame"))
        }
    }
}

/// What a refusal of the broker is answered with.
pub(super) fn of_broker(error: &broker::Error, vhost: &str, ids: Ids) -> Failure {
    use broker::Error as E;
    let code = match error {
        E::DefaultExchange
        | E::ReservedName { .. }
        | E::SystemExchange { .. }
        | E::InternalExchange { .. }
        | E::InExclusiveUse { .. } => Code::AccessRefused,
        E::NotFound { .. } => Code::NotFound,
        E::Locked { .. } | E::GetFromSingleActive { .. } => Code::ResourceLocked,
        E::ConditionalDelete { .. } => Code::NotImplemented,
        E::VhostGone => {
            let text = format_args!("vhost '{vhost}' is deleted");
            return Code::ConnectionForced.failure((0, 0), text);
        }
        _ => Code::PreconditionFailed,
    };
    code.failure(ids, error.in_vhost(vhost))
}
