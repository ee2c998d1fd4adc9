//! How many clients of AMQP may be connected, which is how many files they may use up.

use crate::{config::Config, machine::MORE_FILES};

/// Connections that may be open beyond `connections_max`, so that the broker can refuse a client
/// with a reply code (CN-085) instead of a bare close.
const FOR_REFUSALS: usize = 64;

/// Files that clients of AMQP leave for the rest, or half of them where there are few: for the
/// store, the listeners, and operators who come to see what is wrong.
const FOR_THE_REST: usize = 128;

/// Connections for which there is room, where that many files may be open. Warns of settings that
/// promise more.
pub(super) fn for_connections(config: &Config, open_files_max: Option<u64>) -> usize {
    let wanted = (config.connections_max as usize).saturating_add(FOR_REFUSALS);
    let Some(files) = open_files_max.and_then(|files| usize::try_from(files).ok()) else {
        return wanted;
    };
    let room = files - FOR_THE_REST.min(files / 2);
    if room < wanted {
        tracing::warn!(
            connections_max = config.connections_max,
            open_files_max = files,
            "there are files for {room} AMQP connections, those beyond are closed at once; \
             {MORE_FILES}, or lower connections_max"
        );
    }
    room.min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_what_is_set_and_no_more_than_files_allow() {
        let config = Config { connections_max: 1000, ..Config::default() };
        let room = |files| for_connections(&config, files);
        assert_eq!(room(None), 1064);
        assert_eq!(room(Some(u64::MAX)), 1064);
        assert_eq!(room(Some(1192)), 1064);
        assert_eq!(room(Some(1191)), 1063);
        assert_eq!(room(Some(256)), 128);
        assert_eq!(room(Some(100)), 50);
    }
}
