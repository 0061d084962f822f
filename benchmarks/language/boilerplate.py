"""Pages as sites have them: paragraphs of the embedded clean text between menus, dates, product names and codes."""

from __future__ import annotations

import random
import textwrap

from samples.clean_text import clean_text

MENUS = {
    "de": "Startseite|Über uns|Kontakt|Impressum|Anmelden|Warenkorb|Weiterlesen|Suche|Datenschutz|Neue Beiträge",
    "en": "Home|About us|Contact|Terms of Use|Log in|Shopping cart|Read more|Search|Privacy policy|New posts",
    "es": "Inicio|Quiénes somos|Contacto|Aviso legal|Iniciar sesión|Carrito|Leer más|Buscar|Privacidad|Mensajes nuevos",
    "fr": "Accueil|À propos|Contact|Mentions légales|Connexion|Panier|Lire la suite|Recherche|Vie privée|Nouveautés",
    "it": "Pagina iniziale|Chi siamo|Contatti|Note legali|Accedi|Carrello|Leggi tutto|Cerca|Riservatezza|Novità",
    "ja": "ホーム|会社概要|お問い合わせ|利用規約|ログイン|カート|続きを読む|検索|個人情報保護方針|新着記事",
    "pl": "Strona główna|O nas|Kontakt|Regulamin|Zaloguj się|Koszyk|Czytaj dalej|Szukaj|Prywatność|Nowe posty",
    "pt": "Início|Quem somos|Contato|Aviso legal|Entrar|Carrinho|Leia mais|Pesquisar|Privacidade|Novas mensagens",
    "ru": "Главная|О нас|Контакты|Условия|Войти|Корзина|Читать далее|Поиск|Конфиденциальность|Новые сообщения",
}
"""What menus say, by language."""
MONTHS = {
    "de": "Januar März Mai", "en": "January March May", "es": "enero marzo mayo", "fr": "janvier mars mai",
    "it": "gennaio marzo maggio", "ja": "1月 3月 5月", "pl": "stycznia marca maja", "pt": "janeiro março maio",
    "ru": "января марта мая",
}  # fmt: skip
NAMES = [
    "Windows 8.1", "Board of Trustees", "Galaxy S9 Plus", "HP LaserJet Pro M404dn", "Adobe Photoshop CS6 Extended",
    "Canon EOS 5D Mark IV", "Nike Air Max 90", "Kuala Lumpur", "San Marino", "Addis Ababa, Bole Road 114",
    "Mohamed Ould Abdel Aziz", "Ngozi Okonjo-Iweala", "Ursula von der Leyen", "Powered by WordPress", "vBulletin 4.2.2",
    "MySQL, PHP, jQuery", "Lenovo ThinkPad X1 Carbon", "iPhone 6s Plus 64GB", "USB Type-C", "Blu-ray / DVD",
]  # fmt: skip
CODES = [
    "{n} × {m} px", "SKU: {n}-AB/{m}", "+49 30 {n}{m}", "© 2007–20{m}", "{n}.{m} €", "ISBN 978-3-16-{n}-{m}",
    "user_{n}@example.org", "v{m}.{n}-rc1", "#{n}", "{n} / {m}", "GMT +{m}:00", "README_{n}.txt", "«« {m} »»",
]  # fmt: skip


def clean_paragraphs(language: str, documents: int) -> list[str]:
    """Paragraphs of 100 to 300 characters, cut out of the first documents."""
    text = " ".join(clean_text(language, 0, documents))
    if language == "ja":
        return [f"{sentence}。" for sentence in text.replace(" ", "").split("。") if 20 < len(sentence) < 120]
    return textwrap.wrap(text, 240, break_on_hyphens=False)


def boilerplate_pages(pages: int) -> dict[str, list[list[str]]]:
    """By language some pages, each a list of its lines: a few paragraphs, and three times as many short lines."""
    found = {}
    for language, menu in MENUS.items():
        generator = random.Random(language)
        paragraphs = clean_paragraphs(language, 30)
        found[language] = [_page(generator, language, menu.split("|"), paragraphs) for _ in range(pages)]
    return found


def _page(generator: random.Random, language: str, menu: list[str], paragraphs: list[str]) -> list[str]:
    def number(digits: int) -> int:
        return generator.randrange(10 ** (digits - 1), 10**digits)

    date = f"{generator.randrange(1, 29)} {generator.choice(MONTHS[language].split())} 20{number(2)}"
    codes = [code.format(n=number(4), m=number(2)) for code in generator.sample(CODES, 4)]
    # One name stands by itself, one with a number: in a crawl few lines are as in another page.
    names = [f"{name} ({number(3)})" if generator.random() < 0.5 else name for name in generator.sample(NAMES, 5)]
    text = generator.sample(paragraphs, 4)
    return [
        generator.choice(menu),
        *generator.sample(menu, 4),
        date,
        *text[:2],
        *names,
        *codes,
        *text[2:],
        generator.choice(menu),
    ]
