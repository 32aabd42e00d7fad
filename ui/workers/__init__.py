"""QObjects that live on threads of their own and talk by signals."""
