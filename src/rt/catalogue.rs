//! Enums whose members have a name in tables and a line that says what they are.

/// Defines such an enum: `Member: "name", "what it is";` after its name.
macro_rules! catalogue {
    (
        $(#[$meta:meta])*
        pub enum $catalogue:ident { $($member:ident: $name:literal, $story:literal;)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $catalogue {
            $(#[doc = $story] $member,)*
        }

        impl $catalogue {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$member,)*];

            /// Its name in tables: layer and place.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$member => $name,)* }
            }

            /// What happens there, in one line.
            #[must_use]
            pub const fn story(self) -> &'static str {
                match self { $(Self::$member => $story,)* }
            }
        }
    };
}

pub(crate) use catalogue;
