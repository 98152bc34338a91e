//! What a lease promises, without a store around it.
