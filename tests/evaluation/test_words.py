"""Words of captions."""

from evaluation.words import FUNCTION_WORDS, frequent_words, vocabulary, words_of


def test_words_are_normalised() -> None:
    assert words_of("A Dog barks, twice!") == ["a", "dog", "barks", "twice"]
    assert vocabulary(["A dog", "a DOG barks", ""]) == {"a", "dog", "barks"}


def test_frequent_words_are_shares_of_captions() -> None:
    found = frequent_words(["a dog dog", "a cat"], [["a dog", "the dog"], ["a bird", "rain"]], count=3)
    assert [share.word for share in found] == ["cat", "dog", "bird"]
    dog = found[1]
    assert (dog.predicted, dog.referenced) == (0.5, 0.5)
    assert not {share.word for share in found} & FUNCTION_WORDS
    assert frequent_words(["a"], [["the"]]) == []
