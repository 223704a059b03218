"""Ten real web pages: screenshots of pages in Debian's packages, each with a question that a person wrote.

Nothing here was made by the generator of the drawn samples. `pages.toml` says where each page comes from, what is asked
and what would be right; the pictures lie beside it, so that the questions can be asked without the packages.

    python -m training.real_pages models/moe --out figures
"""
