"""``python -m helpers``: what is wrong here?"""

from helpers.doctor import examine

examine()
