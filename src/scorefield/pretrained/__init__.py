"""Networks of other libraries: what they are told of the noise, what they answer, and where their parts lie.

What may enter: a convention of another library and how it is read from that library's own files. No models of this
library's runs (`records`), no code from files; the other library is imported where it is met.
"""
