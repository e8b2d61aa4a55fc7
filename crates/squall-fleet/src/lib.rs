//! The fleet's protocol: messages, keys, state machines and ports.
