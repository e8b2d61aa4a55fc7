//! A simulated cloud-native service with known truth.
