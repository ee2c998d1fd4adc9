//! Lepus, an AMQP 0-9-1 broker that RabbitMQ clients use unchanged.
//!
//! # One message's trip
//!
//! ```text
//!  socket                                                                      socket
//!    | bytes                                                                     ^ bytes
//!    v                                                                           |
//!  connection::input -> wire::frame -> wire::method          connection::output, held back
//!                            |                               by barriers until durable
//!                            v                                                   ^
//!                  connection::dispatch                      connection::deliver: tags, encodes
//!                            |                                                   ^ drain
//!                            v                                                   |
//!                  connection::publish --- routes: cache, generation             |
//!                            |                                                   |
//!                            v                                                   |
//!                     broker::queue --(consumer picked, under its lock)--> broker::outbox
//!                            | StoreOp, returns CommitSeq
//!                            v
//!                  store: inbox -> writer -> redb commit
//!                                               |
//!        connection::confirm <--- watermark ----+
//! ```
//!
//! # Who owns what
//!
//! * **The connection's task** (`connection`): the socket, its buffers, heartbeats, channels,
//!   unacked deliveries, confirms, half-received content, transactions, the route cache. Nobody
//!   else reaches them; they leave events in the connection's [`broker::outbox::Outbox`].
//! * **The outbox**, behind one short mutex: events for one connection. Queues push into it.
//! * **The vhost** ([`broker::vhost::Vhost`]): its [`broker::topology::Topology`], plain maps of
//!   exchanges, bindings and queue names behind one lock, which is read when a route cache misses
//!   and written by declare, bind and delete.
//! * **The queue** ([`broker::queue::Queue`]), behind one mutex: its messages, consumers and their
//!   credit. Any task calls its methods, never two queues at once.
//! * **What an exchange keeps** of its messages: those that wait ([`broker::delay::DelayLog`]), the
//!   latest ones, the values seen. Each behind one mutex, with a log in the store
//!   ([`broker::log`]). Routing tells by [`broker::route::RouteSet::taps`] who is to keep a
//!   message.
//! * **What is counted** ([`broker::stats`], [`broker::client`]): each number has one writer, the
//!   connection's task or whoever holds the queue's lock; anybody may read.
//! * **Deadlines** ([`broker::timers::Timers`]), behind one mutex; the server's timer thread calls
//!   whoever armed one.
//! * **The store's threads** ([`store`]): everything durable, and bodies that left memory. The way
//!   in is `submit(op) -> CommitSeq`, the way out the watermark `durable()` and `read`.
//! * **The gate** ([`broker::alarm::Gate`]): alarms. While it is shut, connections that publish are
//!   not read from.
//!
//! A queue picks the consumer and pushes into its outbox; consumers never pull. So a message is
//! handed from the publisher's task to the consumer's with one wake for a whole batch, and from an
//! acknowledgement to the next delivery on the same connection with none.
//!
//! # What is shared on a message's way
//!
//! Whatever two messages of different producers, queues and consumers have in common, for the day
//! this runs on many cores. Nothing else on the way is written by more than one task.
//!
//! | what | kind | when |
//! | --- | --- | --- |
//! | the queue | mutex of its own | each run of publishes; each batch of acknowledgements |
//! | the consumer's outbox | mutex of its own | each delivery; each drain |
//! | the channel's prefetch window | mutex of its own | each delivery to acknowledge; each batch |
//! | the message | count of references | once for each queue and delivery, none for the only one |
//! | generations of topology and permissions | read only | each publish, to trust the route cache |
//! | the gate, the store's fill, the watermark | read only | each turn of a connection |
//! | whether the vhost is traced ([`broker::trace`]) | read only | each batch that comes or goes |
//! | what an exchange counted | two atomics | each turn that published by it |
//! | memory of all queues | one atomic | each 64 KiB that a queue grows or shrinks by |
//! | **the store's inbox** | **one mutex** | each run of durable publishes, each batch of settles |
//! | deadlines | one mutex | a message whose time to live is the earliest of its queue |
//!
//! So transient messages of independent queues share nothing that is written for each message; the
//! inbox is the one thing that durable ones do.
//!
//! # Floors
//!
//! A module uses only what is on a lower floor, or inside itself. `tests/tidy.rs` sees to it.
//!
//! | floor | modules |
//! | --- | --- |
//! | 0 | [`names`], [`clock`], [`pattern`], [`machine`], [`histogram`] |
//! | 1 | [`wire`]: bytes to frames to methods, and back; [`config`]: every setting |
//! | 2 | [`message`]: the bytes that came in, kept as they came |
//! | 3 | [`store`]: durable queues in redb |
//! | 4 | [`broker`]: exchanges, queues, consumers, as plain data; [`auth`]: users and permissions |
//! | 5 | [`admin`]: what operators change |
//! | 6 | [`connection`]: the protocol, one task for each connection; [`http`]: the management API |
//! | 7 | [`server`]: listeners, start and stop, alarms |
//! | 8 | [`cli`]: the program |
//!
//! `redb` is used only in `store`, `amq_protocol` only in `wire`, a clock only in `clock`; JSON
//! only in `http`, in the tokens of `auth::oauth2`, in the client of the command line, `cli::ctl`,
//! and in what `cli::perf` prints.
//!
//! # Rules
//!
//! * **R1** `wire` does no I/O, keeps no clock, never panics on input.
//! * **R2** Nothing outside the connection's task touches a channel.
//! * **R3** No await and no I/O while a lock is held.
//! * **R4** Lock order: queue, then outbox; queue, then the store's inbox; topology, then the
//!   vhost's policies; topology, then the store's inbox; the registry of connections, then outbox.
//!   What an exchange keeps has a lock of its own: topology, then that, then timers or inbox.
//!   The topology's lock is dropped before a queue is locked. Never two queues,
//!   never two outboxes. What the management API keeps of the past is locked alone, for a moment.
//! * **R5** Durable changes exist only as store operations; only the store's thread writes redb.
//! * **R6** A promise of durability leaves only after the watermark has passed it.
//! * **R7** Whoever makes an outbox non-empty owes its wake, and pays before its own task waits.
//! * **R8** Every buffer and list has a named limit.
//! * **R9** The broker is given the time and returns plain data; only `clock` reads clocks.
//! * **R10** Reply codes exist only in `connection`, and in what `http` quotes of them; JSON only
//!   where it is said above.
//!
//! # What comments cite
//!
//! `BA-044`, `R6`: the letter R stands for a rule above. All others are statements of how RabbitMQ
//! behaves, each with the version on which it was seen; their list, COMPATIBILITY, is kept beside
//! this repository. A test that cites one says in code what it states, and can be run against
//! RabbitMQ itself.

pub mod admin;
pub mod auth;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod histogram;
pub mod http;
pub mod machine;
pub mod message;
pub mod names;
pub mod pattern;
pub mod server;
pub mod store;
pub mod wire;
