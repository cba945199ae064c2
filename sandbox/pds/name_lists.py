"""The names of generated people, by what makes each kind hard to compare.

Families are invented of two English parts, or stand for a form (prefix, apostrophe, alphabet)
rather than for anybody. What the real service does with letters outside Latin-1 is not known
here; this practice service keeps them as they are.
"""

from __future__ import annotations

from typing import Final

# fmt: off
_STARTS: Final = ("Ash", "Birch", "Bram", "Clay", "Dun", "Elm", "Fern", "Glen", "Hazel", "Ives",
                  "Kes", "Lark", "Marsh", "Nor", "Oak", "Pen", "Quen", "Rush", "Sel", "Thorn",
                  "Up", "Wal", "Yew")
_ENDS: Final = ("bury", "by", "combe", "cote", "dale", "den", "field", "ford", "ham", "hurst",
                "ley", "mere", "mouth", "ridge", "shaw", "stead", "stone", "ton", "well", "wick",
                "wood", "worth")
PLAIN_FAMILIES: Final = tuple(start + end for start in _STARTS for end in _ENDS)
PREFIXED_FAMILIES: Final = ("MacAshby", "McFernley", "Mac Donnoch", "St Elmwick",
                            "Van der Oakhurst", "de Larkmere", "Al-Hazelby", "bin Norham",
                            "Fitz Yewton", "von Dunwood")
APOSTROPHE_FAMILIES: Final = ("O'Ashford", "O'Fernwick", "O'Kesby", "D'Elmcote", "D'Ivesmere",
                              "N'Glendale", "O’Larkham", "M'Birchley", "O'Marshden", "D’Oakton")
ACCENTED_FAMILIES: Final = ("Ashbié", "Bjørnwick", "Łąkowska", "Nuñezley", "Müllerham", "Jørgensby",
                            "Çelikton", "Žižkaford", "Şahinwell", "Ó Fearnley", "Sørstone",
                            "Gößmere", "Ńorwid", "Čapwood", "Þórsdale")
TRANSLITERATED_FAMILIES: Final = ("Kuznetsova", "Shevchenkova", "Alkhatibi", "Nguyenby",
                                  "Wangfield", "Papadakidou", "Choudhuryan", "Tesfamariamu",
                                  "Oyelaranwa", "Kimbury")
OTHER_ALPHABET_FAMILIES: Final = ("Кузнецова", "Шевченко", "Παπαδάκη", "الخطيب", "王", "ნაკაშიძე")
LONG_FAMILIES: Final = ("Featherstonehaughington", "Cholmondeleyworthingham",
                        "Venkatanarasimharajuvaripeta", "Wolfeschlegelsteinhausen",
                        "Papanikolaoudimitrakopoulou")
GIVEN: Final = {
    "female": ("Ada", "Amelia", "Bryony", "Cora", "Dilys", "Elizabeth", "Esme", "Freya", "Greta",
               "Hana", "Hannah", "Iris", "Isabella", "Jaya", "Katherine", "Kaya", "Lena", "Leah",
               "Margaret", "Maya", "Mia", "Nell", "Olivia", "Orla", "Pia", "Poppy", "Rosa", "Ruby",
               "Sophie", "Suki", "Tess", "Una", "Vera", "Willa", "Yara", "Zora"),
    "male": ("Abel", "Alexander", "Bram", "Cai", "Daniel", "Dev", "Edward", "Ezra", "Finn", "Gus",
             "Hari", "Ivo", "Jack", "Joel", "Kit", "Leo", "Liam", "Michael", "Milo", "Ned", "Noah",
             "Oliver", "Omar", "Pip", "Raj", "Samuel", "Seth", "Theo", "Thomas", "Umar", "Vito",
             "William", "Wren", "Yusuf", "Zach", "Zayn"),
}
ACCENTED_GIVEN: Final = {
    "female": ("Chloë", "Zoë", "Siân", "Renée", "Małgorzata", "Begoña", "Åse", "Søs", "İpek",
               "Aoibhínn", "Jiřina", "Ümmü"),
    "male": ("José", "Łukasz", "Jørgen", "Iñaki", "Seán", "Günter", "Håkon", "Çağan", "Jiří",
             "Pádraig", "Þór", "André"),
}
TRANSLITERATED_GIVEN: Final = {
    "female": ("Sofiya", "Oksana", "Fatimah", "Xiaoling", "Thuy", "Eleni", "Abeba"),
    "male": ("Dmitriy", "Oleksandr", "Mohammed", "Muhammad", "Jun", "Giorgos", "Tekle"),
}
OTHER_ALPHABET_GIVEN: Final = {
    "female": ("Мария", "Оксана", "Σοφία", "فاطمة", "小玲"),
    "male": ("Дмитрий", "Олександр", "Γιώργος", "محمد", "俊"),
}
COMPOUND_GIVEN: Final = {
    "female": ("Anna-Maria", "Mary Jane", "Ella-Mae", "Lily Rose", "Bint-e-Noor", "D'Arcy"),
    "male": ("Jean-Luc", "John Paul", "Alfie-Lee", "Abd al-Rahim", "Tommy Lee", "De'Shawn"),
}
LONG_GIVEN: Final = {
    "female": ("Oluwafunmilayomi", "Annabellamarietta", "Keisharonaliyah"),
    "male": ("Oluwatimileyinsola", "Maximilianalexander", "Bartholomewjames"),
}
NICKNAMES: Final = {
    "Alexander": "Alex", "Amelia": "Millie", "Daniel": "Danny", "Edward": "Ted",
    "Elizabeth": "Betsy", "Hannah": "Nan", "Isabella": "Bella", "Jack": "Jacky",
    "Katherine": "Kate", "Leah": "Lee", "Margaret": "Peggy", "Michael": "Mick", "Oliver": "Ollie",
    "Olivia": "Liv", "Samuel": "Sam", "Sophie": "Soph", "Thomas": "Tom", "William": "Bill",
}
# fmt: on
