"""The screens. Only here is Kivy known."""
