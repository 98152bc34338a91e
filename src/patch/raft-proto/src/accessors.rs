//! The macro that gives a message the accessor methods raft calls.
//!
//! A declarative macro cannot join identifiers, so each field lists the names of its methods; the
//! kind of the field decides their number, order and types:
//!
//! | kind | methods, in order |
//! |---|---|
//! | `scalar` | get, set |
//! | `choice` | get (prost derives the setter of an enum) |
//! | `bytes` | get, set, take |
//! | `list` | get, set, mut, take |
//! | `nested` | has, get, set, mut, take |
//!
//! It deliberately derives nothing from the fields: a name that raft expects can be searched for.

/// Implements the accessor methods of one message; see the table above.
macro_rules! accessors {
    ($message:ident { $($kind:ident $field:ident: $type:ident => $($name:ident)+;)+ }) => {
        impl $message {
            $($crate::accessors::accessor!($kind $field: $type => $($name)+);)+
        }
    };
}

/// Implements the accessor methods of one field.
macro_rules! accessor {
    (scalar $field:ident: $type:ty => $get:ident $set:ident) => {
        #[doc = concat!("The field `", stringify!($field), "`.")]
        #[must_use]
        pub fn $get(&self) -> $type {
            self.$field
        }

        #[doc = concat!("Replaces the field `", stringify!($field), "`.")]
        pub fn $set(&mut self, value: $type) {
            self.$field = value;
        }
    };
    (choice $field:ident: $type:ty => $get:ident) => {
        #[doc = concat!("The field `", stringify!($field), "`; the zero value if unknown.")]
        #[must_use]
        pub fn $get(&self) -> $type {
            self.$field()
        }
    };
    (bytes $field:ident: $type:ty => $get:ident $set:ident $take:ident) => {
        #[doc = concat!("The field `", stringify!($field), "`.")]
        #[must_use]
        pub fn $get(&self) -> &[u8] {
            &self.$field
        }

        #[doc = concat!("Replaces the field `", stringify!($field), "`.")]
        pub fn $set(&mut self, value: $type) {
            self.$field = value;
        }

        #[doc = concat!("Moves the field `", stringify!($field), "` out, leaving it empty.")]
        pub fn $take(&mut self) -> $type {
            ::std::mem::take(&mut self.$field)
        }
    };
    (list $field:ident: $type:ty => $get:ident $set:ident $mut:ident $take:ident) => {
        #[doc = concat!("The field `", stringify!($field), "`.")]
        #[must_use]
        pub fn $get(&self) -> &[$type] {
            &self.$field
        }

        #[doc = concat!("Replaces the field `", stringify!($field), "`.")]
        pub fn $set(&mut self, value: Vec<$type>) {
            self.$field = value;
        }

        #[doc = concat!("The field `", stringify!($field), "`, to change in place.")]
        pub fn $mut(&mut self) -> &mut Vec<$type> {
            &mut self.$field
        }

        #[doc = concat!("Moves the field `", stringify!($field), "` out, leaving it empty.")]
        pub fn $take(&mut self) -> Vec<$type> {
            ::std::mem::take(&mut self.$field)
        }
    };
    (nested $field:ident: $type:ident =>
        $has:ident $get:ident $set:ident $mut:ident $take:ident) => {
        #[doc = concat!("Whether the field `", stringify!($field), "` is set.")]
        #[must_use]
        pub fn $has(&self) -> bool {
            self.$field.is_some()
        }

        #[doc = concat!("The field `", stringify!($field), "`; an empty message if unset.")]
        #[must_use]
        pub fn $get(&self) -> &$type {
            static UNSET: $type = $type::EMPTY;
            self.$field.as_ref().unwrap_or(&UNSET)
        }

        #[doc = concat!("Replaces the field `", stringify!($field), "`.")]
        pub fn $set(&mut self, value: $type) {
            self.$field = Some(value);
        }

        #[doc = concat!("The field `", stringify!($field), "`, to change in place; set if unset.")]
        pub fn $mut(&mut self) -> &mut $type {
            self.$field.get_or_insert_default()
        }

        #[doc = concat!("Moves the field `", stringify!($field), "` out, leaving it unset.")]
        pub fn $take(&mut self) -> $type {
            self.$field.take().unwrap_or_default()
        }
    };
}

pub(crate) use {accessor, accessors};
