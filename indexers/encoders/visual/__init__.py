"""Late-interaction encoders of page images: ColPali, ColQwen and their kin, one adapter per library."""
