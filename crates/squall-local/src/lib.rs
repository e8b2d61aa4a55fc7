//! The local fleet: threads, an in-memory queue and a directory.
